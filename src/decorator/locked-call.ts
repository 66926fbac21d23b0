import { NamedLockConfigurationError, NamedLockTimeoutError } from '../contract/errors.js'
import type { NamedLock } from '../scope/named-lock.js'
import type { LockName } from '../contract/options.js'
import { readDecoratorSignal } from '../contract/settings.js'
import { show } from '../util/show.js'
import type { DecoratorSettings } from './decorator-settings.js'
import { refuseInTransactionOf } from '../acquire/refusals.js'
import { findService } from './find-service.js'
import { timeLimitsOf } from '../acquire/held-lock.js'
import { heldByLimits, heldLongEnough } from './hold-at-least.js'
import { monotonicNow } from '../util/clock.js'

type Method = (this: unknown, ...args: unknown[]) => unknown

/** One call of a decorated method: acquire, run, release. Every error is a rejection. */
export async function callWithLock(
  settings: DecoratorSettings,
  method: Method,
  key: PropertyKey,
  self: unknown,
  args: unknown[],
): Promise<unknown> {
  const label = (): string => labelOf(self, key)
  const service = findService(self, settings.locks, label)
  const name = typeof settings.name === 'function' ? settings.name.apply(self, args) : settings.name
  refuseInTransactionOf(self, service, name)
  const options = settings.signal
    ? { ...settings.callOptions, signal: readDecoratorSignal(settings.signal.apply(self, args)) }
    : settings.callOptions

  let entered: NamedLock<unknown> | undefined
  let acquiredAt = 0
  const work = async (lock: NamedLock<unknown>): Promise<unknown> => {
    // With `retry` the method may run again under the same lock.
    if (entered !== lock) acquiredAt = monotonicNow()
    entered = lock
    const limits = settings.holdAtLeast > 0 ? timeLimitsOf(lock) : undefined
    const held = limits && heldByLimits(lock, settings.holdAtLeast, limits)
    try {
      return await promiseOf(method.apply(self, args), label)
    } finally {
      if (settings.holdAtLeast > 0) await (held ?? heldLongEnough(lock, acquiredAt + settings.holdAtLeast))
    }
  }

  try {
    if (settings.once !== undefined) {
      const all = { ...options, every: settings.once }
      const run = (_manager: unknown, lock: NamedLock<unknown>): Promise<unknown> => work(lock)
      return (await service.runOnce(name as LockName, all, run)).value
    }
    return settings.transaction
      ? await service.transaction(name, options, (_manager: unknown, lock: NamedLock<unknown>) => work(lock))
      : await service.withLock(name, options, work)
  } catch (error) {
    // A timeout error after the method has begun was thrown by the method itself.
    if (entered || settings.onBusy === 'throw' || !(error instanceof NamedLockTimeoutError)) throw error
    return settings.onBusy === 'skip' ? undefined : settings.onBusy.apply(self, args)
  }
}

function promiseOf(result: unknown, label: () => string): unknown {
  if (typeof (result as PromiseLike<unknown> | null | undefined)?.then === 'function') return result
  throw new NamedLockConfigurationError(
    `${label()} returned ${show(result)} instead of a promise: @WithNamedLock needs an asynchronous method, because the lock is released when its promise settles.`,
  )
}

/** `Orders.pay`, for messages. */
function labelOf(self: unknown, key: PropertyKey): string {
  const owner = typeof self === 'function' ? self : (self as object | null | undefined)?.constructor
  return owner?.name ? `${owner.name}.${String(key)}` : String(key)
}
