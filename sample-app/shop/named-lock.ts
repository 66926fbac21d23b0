import * as library from '../../src/index.js'
import { sectionChannel, type Section } from './activity.js'
import { now } from './clock.js'
import { settings } from './settings.js'

// The sample runs from the sources, without a build. A real application writes:
//
//     import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'
//     import { NamedLockModule } from 'typeorm-named-lock/nestjs'

export { NamedLockClosedError, NamedLockService, NamedLockTimeoutError } from '../../src/index.js'
export { NamedLockModule } from '../../src/nestjs/index.js'

/** The switch of the sample: it turns the locks off at run time, with the same code of the shop. */
export const lockSwitch = { on: settings.locks !== 'off' }

/** `NamedLock.assertHeld`, except while the switch is off. */
export function assertHeld(name: string): void {
  if (lockSwitch.on) library.NamedLock.assertHeld(name)
}

type Method = (this: unknown, ...args: unknown[]) => Promise<unknown>
type Names = string | ((this: unknown, ...args: unknown[]) => string)

/** The library's decorator, and the bare method for when the switch is off. */
export const WithNamedLock = ((name: Names, ...more: [string?, object?]) =>
  (target: object, key: string, descriptor: TypedPropertyDescriptor<Method>) => {
    const bare = descriptor.value!
    const recorded = (locked: boolean): Method =>
      async function (...args) {
        return section(typeof name === 'string' ? name : name.apply(this, args), locked, () => bare.apply(this, args))
      }
    descriptor.value = recorded(true)
    library.WithNamedLock<Method, unknown>(name, ...(more as []))(target, key, descriptor)
    const [withLock, withoutLock] = [descriptor.value, recorded(false)]
    descriptor.value = async function (...args) {
      return (lockSwitch.on ? withLock : withoutLock).apply(this, args)
    }
  }) as unknown as typeof library.WithNamedLock

/** Records when the method's own code begins and ends, with its lock and without: two of them at once are an overlap. */
async function section<T>(name: string, locked: boolean, work: () => Promise<T>): Promise<T> {
  const section: Section = { name, locked, startedAt: now() }
  sectionChannel.start.publish(section)
  try {
    return await work()
  } finally {
    sectionChannel.end.publish(section)
  }
}
