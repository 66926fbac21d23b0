import type { NamedLock } from '../named-lock.js'
import { clearTimeout, monotonicNow, setTimeout } from '../util/clock.js'

/** setTimeout fires at once beyond this. */
const LONGEST_TIMER = 2 ** 31 - 1

/** Resolves at `time` (of monotonicNow()), or when the lock is lost: then there is nothing left to hold on to. */
export function heldLongEnough(lock: NamedLock<unknown>, time: number): Promise<void> {
  if (monotonicNow() >= time) return Promise.resolve()
  const { signal } = lock
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined
    const finish = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const wait = (): void => {
      const left = time - monotonicNow() // timers may be early
      if (left <= 0 || signal.aborted) finish()
      else timer = setTimeout(wait, Math.min(Math.ceil(left), LONGEST_TIMER))
    }
    signal.addEventListener('abort', finish)
    wait()
  })
}
