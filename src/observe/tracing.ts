import { tracingChannel } from 'node:diagnostics_channel'
import type { NamedLock } from '../scope/named-lock.js'
import type { LockMode, LockNames } from '../contract/options.js'
import { namesOf } from '../names/targets.js'

/** The message for subscribers of `tracing:typeorm-named-lock:acquire:*`: one object for the whole call. */
export interface AcquireTrace {
  /** The NamedLockService of the call. */
  readonly service: object | undefined
  /** The names as the caller gave them. */
  readonly names: readonly string[]
  /** The call's timeout, in milliseconds. */
  readonly timeout: number
  /** The keys of the locks on the server, once they are granted; undefined at the end of a call without its locks. */
  keys?: readonly string[]
  /** The option `mode`, once the locks are granted. */
  mode?: LockMode
  /** The handle, once the locks are granted; `lockTransaction` has none. */
  lock?: NamedLock<any>
  /** The error of a call that failed other than by a timeout. */
  error?: unknown
  /**
   * For subscribers to set before the end of the call: runs the work of a scoped call (`withLock`, `transaction`, a decorated
   * method), for instance in an async context of its own. It has to call `work` once, at once.
   */
  around?: (work: () => void) => void
}

/** From the call to the lock, in the async context of the caller. */
export const acquireChannel = tracingChannel<string, AcquireTrace>('typeorm-named-lock:acquire')

const { start, end, asyncStart, asyncEnd, error } = acquireChannel

export function isTraced(): boolean {
  return (
    start.hasSubscribers ||
    end.hasSubscribers ||
    asyncStart.hasSubscribers ||
    asyncEnd.hasSubscribers ||
    error.hasSubscribers
  )
}

/**
 * Calls `obtain` and publishes the call on the tracing channel. `record` enters the locks of the call, if it has any, in the trace.
 */
export function traced<T>(
  service: object | undefined,
  names: LockNames,
  timeout: number,
  obtain: () => Promise<T>,
  record: (got: T, trace: AcquireTrace) => void,
): Promise<T> {
  const trace: AcquireTrace = { service, names: namesOf(names), timeout }
  const work = async (): Promise<T> => {
    const got = await obtain()
    record(got, trace)
    return got
  }
  return acquireChannel.tracePromise(work, trace)
}

/** Calls the work of a scoped call, inside the subscriber's `around` if there is one. Errors of a subscriber do not affect the work. */
export function callUnder<T>(trace: AcquireTrace | undefined, work: () => T): T {
  const around = trace?.around
  if (!around) return work()
  let outcome: (() => T) | undefined
  const call = (): void => {
    if (outcome) return
    try {
      const result = work()
      outcome = () => result
    } catch (error) {
      outcome = () => {
        throw error
      }
    }
  }
  try {
    around(call)
  } catch (error) {
    process.emitWarning(`A subscriber of typeorm-named-lock:acquire failed: ${String(error)}`, 'NamedLockWarning')
  }
  call()
  return (outcome as unknown as () => T)()
}
