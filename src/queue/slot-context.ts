import type { Sessions } from '../session/sessions.js'
import type { LeaseTimes } from '../session/lease.js'
import type { Claim } from './claim.js'

/** A slot that is not needed any more. */
export interface RetiredSlot {
  readonly id: string
  readonly exclusionKey: string
}

/** What a slot needs of what the services of a DataSource share. */
export interface SlotContext {
  readonly sessions: Sessions
  readonly settings: LeaseTimes
  /** The slot is not needed any more. Its turn, if it had one, goes on when this process soon wants the lock again. */
  retire(slot: RetiredSlot, turnStartedAt: number, grantedAt: number): void
  /** The claim could not have the lock at once. */
  waits(claim: Claim): void
  /** Who in this process has the lock of that key, by whichever service of the DataSource. */
  holdersInProcess(exclusionKey: string): readonly Claim[]
  /** Readers with connections of their own wait for the key: they do so beside its slot, as other processes do. */
  hasReadersBeside(exclusionKey: string): boolean
  /** The error of a caller that did not want to wait for the lock and could not even ask for it. */
  unanswered(claim: Claim): Error
  /** A lock is being given back, and its holder waits for the answer. */
  releasing(): void
  /** The server has answered the claim's release. */
  gaveUp(claim: Claim): void
  /** The lock could not be given back in order: it was lost before, or its connection had to be ended. */
  releaseFailed(claim: Claim, error: Error | undefined): void
  /** Whether a request that failed is worth another try: its session died, and a new one may do better. */
  isWorthRetrying(error: Error | undefined): boolean
}
