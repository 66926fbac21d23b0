import { LONGEST_TIMER, clearTimeout, setTimeout } from '../util/clock.js'
import type { TimeLimits } from '../util/time-limits.js'

/**
 * Resolves after that many milliseconds, or when the signal is aborted.
 *
 * @param limits The clock of the times that callers set, where it is not the library's own.
 */
export function pause(milliseconds: number, signal: AbortSignal, limits: TimeLimits | undefined): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined
    const finish = (): void => {
      clearTimeout(timer)
      limits?.end(signal)
      signal.removeEventListener('abort', finish)
      resolve()
    }
    signal.addEventListener('abort', finish)
    if (limits) limits.begin(signal, milliseconds, 0, finish)
    else timer = setTimeout(finish, Math.min(milliseconds, LONGEST_TIMER))
  })
}
