import { tracingChannel } from 'node:diagnostics_channel'
import { HeldLock } from './held-lock.js'
import type { NamedLock } from './named-lock.js'
import type { LockNames } from './options.js'
import { namesOf } from './targets.js'

/** What the subscribers of `tracing:typeorm-named-lock:acquire:*` are told: one object for the whole call. */
export interface AcquireTrace {
  /** The NamedLockService that was asked. */
  readonly service: object | undefined
  readonly names: readonly string[]
  /** How long the caller is ready to wait, in milliseconds. */
  readonly timeout: number
  /** The lock, once it is there; undefined at the end when the time ran out. */
  lock?: NamedLock<any>
  /** Why the call failed, where it did not just time out. */
  error?: unknown
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

/** Calls `obtain`, and tells the tracing channel of it. */
export function traced<T>(
  service: object | undefined,
  names: LockNames,
  timeout: number,
  obtain: () => Promise<T>,
): Promise<T> {
  const trace: AcquireTrace = { service, names: namesOf(names), timeout }
  const work = async (): Promise<T> => {
    const lock = await obtain()
    if (lock instanceof HeldLock) trace.lock = lock
    return lock
  }
  return acquireChannel.tracePromise(work, trace)
}
