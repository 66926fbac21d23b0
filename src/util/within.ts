import { LONGEST_TIMER, clearTimeout, setTimeout } from './clock.js'
/** Settles like `work`, or rejects with the error of `late` after `milliseconds`, or with the signal's reason. */
export function within<T>(
  work: Promise<T>,
  milliseconds: number,
  signal: AbortSignal | undefined,
  late: () => Error,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => finish(() => reject(signal?.reason as Error))
    const timer = setTimeout(() => finish(() => reject(late())), Math.min(milliseconds, LONGEST_TIMER))
    const finish = (settle: () => void): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      settle()
    }
    signal?.addEventListener('abort', abort)
    work.then(
      (value) => finish(() => resolve(value)),
      (error: unknown) => finish(() => reject(error)),
    )
  })
}
