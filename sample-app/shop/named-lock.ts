import * as library from '../../src/index.js'
import { sectionChannel, type Section } from './activity.js'
import { settings } from './settings.js'

// The sample runs from the sources, without a build. A real application writes:
//
//     import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'
//     import { NamedLockModule } from 'typeorm-named-lock/nestjs'

export { NamedLockService } from '../../src/index.js'
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
    library.WithNamedLock<Method, unknown>(name, ...(more as []))(target, key, descriptor)
    const locked = descriptor.value!
    descriptor.value = async function (...args) {
      if (lockSwitch.on) return locked.apply(this, args)
      return unguarded(typeof name === 'string' ? name : name.apply(this, args), () => bare.apply(this, args))
    }
  }) as unknown as typeof library.WithNamedLock

/** Reports code that should have held a lock to the timeline. */
async function unguarded<T>(name: string, work: () => Promise<T>): Promise<T> {
  const section: Section = { name, startedAt: performance.now() }
  sectionChannel.start.publish(section)
  try {
    return await work()
  } finally {
    sectionChannel.end.publish(section)
  }
}
