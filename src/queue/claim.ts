import type { LockScope } from '../scope/lock-scope.js'
import type { FencingTable } from '../session/fencing-table.js'
import type { Place } from '../session/place.js'
import type { Session } from '../session/session.js'
import type { Settings } from '../contract/settings.js'
import type { Target } from '../names/targets.js'
import type { SessionSource } from '../session/session-source.js'
import type { Acquisition } from './acquisition.js'

/** Notified of what happens to the claims of a service, for its events and its handles. */
export interface ClaimListener {
  waiting(claim: Claim): void
  lost(claim: Claim, error: Error): void
  releaseFailed(claim: Claim, error: Error): void
}

/**
 * The service that a claim belongs to. The services of a DataSource share slots and sessions, so what is a service's own (its events,
 * its bounds, its end, the errors of its callers) goes with the claim.
 */
export interface ClaimOwner {
  readonly settings: Settings
  readonly listener: ClaimListener
  /** The table that fencing tokens come from; undefined: the server's own numbers. */
  readonly fencing: FencingTable | undefined
  /** `close()` of the service has begun. */
  readonly isClosing: boolean
  /** The last handle of the claim has released it. Not called for a lock that was lost. */
  released(claim: Claim): void
  /** The error of a claim that would close this cycle of names if it waited. */
  deadlock(claim: Claim, cycle: readonly string[]): Error
  /** The error of a claim that did not want to wait, and that got no answer; `obstacle`: why, if known. */
  unanswered(claim: Claim, obstacle: string | undefined): Error
}

/** A handle of a lock, as its claims see it: they notify it of a loss. */
export interface Handle {
  /** The server's answer to the release was that the lock was not held any more. */
  foundLostByRelease(error: Error): void
  /** The lock is lost. */
  lose(error: Error): void
}

/** The slot of a claim, as its handle and its caller use it. */
export interface ClaimSlot {
  /** The claim that holds the lock here, the first of several readers. */
  readonly holder: Claim | undefined
  /** What the database said when the slot could last not ask it; undefined after an answer. */
  readonly trouble: unknown
  /** All claims that hold the slot's key in this process, by all services of the DataSource. */
  readonly holdersInProcess: readonly Claim[]
  add(claim: Claim): void
  /** Ends a wait. No effect on a claim that is not queued. */
  leave(claim: Claim, failure: Failure): void
  /**
   * Ends a claim that is held. Resolves when the lock is passed on or released; undefined where it was passed on at once, or is released
   * without a caller that waits for it.
   */
  release(claim: Claim): Promise<void> | undefined
  /** See `Sessions.freshToken`. */
  freshToken(timeout: number): Promise<bigint>
}

/** Why a claim ended without the lock. */
export type Failure = 'timeout' | Error

/** How long a caller that does not wait for the lock waits for the database, in milliseconds. */
export const TRY_PATIENCE = 3_000

/**
 * One caller's claim to one lock, through its whole life: queued, then held, then over. It is its own entry in the slot's
 * queue, so that leaving the queue costs nothing.
 */
export class Claim {
  state: 'queued' | 'held' | 'over' = 'queued'
  /** How the lock came: granted by the server, or passed on by another caller of this process. */
  by: 'server' | 'handover' = 'server'
  /** Where it is held. Written by the slot with the grant. */
  place: Place | undefined
  session: Session | undefined
  /** By the monotonic clock. */
  grantedAt = 0
  /** How many handles share it (re-entrance). */
  shares = 1
  /** The handles that have it: one, or more when a scope is re-entered. */
  handle: Handle | undefined
  otherHandles: Handle[] | undefined
  /** The lock was not free when the claim was queued. Written by the slot. */
  hasWaited = false
  /** The end of the wait, in monotonic time; Infinity: no end. */
  readonly deadline: number

  /** Its neighbours in the slot's queue; empty when it is not queued. */
  next: Claim | undefined
  previous: Claim | undefined

  constructor(
    readonly owner: ClaimOwner,
    readonly slot: ClaimSlot,
    /** Written anew by the slot with the grant of a permit: which one it is, is not known before. */
    public target: Target,
    readonly acquisition: Acquisition,
    /** Called once, with the grant (undefined) or the failure. */
    readonly settle: (failure: Failure | undefined) => void,
  ) {
    const { startedAt, call } = acquisition
    this.deadline = startedAt + (call.timeout === 0 ? TRY_PATIENCE : call.timeout)
  }

  get name(): string {
    return this.target.name
  }

  get literal(): string {
    return this.target.literal
  }

  get startedAt(): number {
    return this.acquisition.startedAt
  }

  /** The caller does not wait for the lock: one answer decides. */
  get isTry(): boolean {
    return this.acquisition.call.timeout === 0
  }

  /** Its caller does not wait for the server's answer to the release. */
  get isReleasedLater(): boolean {
    return this.acquisition.call.release === 'background'
  }

  /** See CallSettings. */
  get isPatient(): boolean {
    return this.acquisition.call.isPatient
  }

  get signal(): AbortSignal | undefined {
    return this.acquisition.call.signal
  }

  /** Opens a connection of its own; undefined: the lock is held on the shared session. */
  get source(): SessionSource | undefined {
    return this.acquisition.source
  }

  /** How many may hold the name at a time; Infinity for a lock that is no permit. */
  get permits(): number {
    return this.acquisition.call.permits ?? Infinity
  }

  get scope(): LockScope | undefined {
    return this.acquisition.scope
  }

  get waitsIn(): LockScope | undefined {
    return this.acquisition.waitsIn
  }

  /** Whether the lock is certainly held. False as well in doubt, while the session asks the server. Only compares clocks. */
  get isCertain(): boolean {
    return this.state === 'held' && (this.session?.isCertain ?? false)
  }

  /** Loses the session, and the lock with it, if its lease is over. Returns whether the lock is held or in doubt. */
  checkLease(): boolean {
    return this.state === 'held' && (this.session?.checkLease() ?? false)
  }
}
