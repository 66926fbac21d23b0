import type { HeldLock } from '../acquire/held-lock.js'
import type { NamedLock } from '../scope/named-lock.js'
import type { TimeLimits } from '../util/time-limits.js'
import { LONGEST_TIMER, clearTimeout, monotonicNow, setTimeout } from '../util/clock.js'

/**
 * Resolves at `time` (of monotonicNow()), or earlier if the lock is lost or its service closes.
 *
 * `close()` waits for running work, but a hold is not work: the method has ended and only its result is delayed. If the
 * hold continued, it would use up the closeTimeout. Then the lock would be lost, and a NamedLockLostError would replace
 * the method's result.
 */
export function heldLongEnough(lock: NamedLock<unknown>, time: number): Promise<void> {
  if (monotonicNow() >= time) return Promise.resolve()
  const { signal } = lock
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined
    let isOver = false
    let forget = (): void => {}
    const finish = (): void => {
      isOver = true
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      forget()
      resolve()
    }
    const wait = (): void => {
      const left = time - monotonicNow() // timers may be early
      if (left <= 0 || signal.aborted) finish()
      else timer = setTimeout(wait, Math.min(Math.ceil(left), LONGEST_TIMER))
    }
    signal.addEventListener('abort', finish)
    // A subclass of the service may have its own handles, without an owner.
    forget = (lock as Partial<HeldLock>).owner?.whenClosing(finish) ?? forget
    if (!isOver) wait()
  })
}

/** Like `heldLongEnough`, for that many milliseconds from now by another clock. */
export function heldByLimits(lock: NamedLock<unknown>, milliseconds: number, limits: TimeLimits): Promise<void> {
  const { signal } = lock
  return new Promise((resolve) => {
    let forget = (): void => {}
    const finish = (): void => {
      limits.end(lock)
      signal.removeEventListener('abort', finish)
      forget()
      resolve()
    }
    signal.addEventListener('abort', finish)
    limits.begin(lock, milliseconds, 0, finish)
    forget = (lock as Partial<HeldLock>).owner?.whenClosing(finish) ?? forget
  })
}
