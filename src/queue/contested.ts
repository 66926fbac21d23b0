import type { Place } from '../session/place.js'
import type { Claim, Failure } from './claim.js'

/** The slot of a contest, as the contest sees it. */
export interface Contested {
  /** What the server may fold together with the key. */
  readonly exclusionKey: string
  /** The key that is asked for, as it stands in SQL. The contest sets it to that of the claim that it serves. */
  literal: string
  /** What the database said when the slot could last not ask it. Written by the contest; cleared by the next answer. */
  trouble: unknown
  /** The server has granted the lock on `place`. */
  won(place: Place, wasBusy: boolean): void
  /** The contest ended without the lock: no caller is queued any more. */
  conceded(): void
  /** The server has found the lock held by another session: callers that do not wait leave. */
  foundBusy(): void
  /** A queued caller leaves. */
  leave(claim: Claim, failure: Failure): void
  /** All queued callers leave with this error: asking again would not help. */
  failAll(error: Error): void
}
