import type { HeldLock } from '../acquire/held-lock.js'
import type { LockScope } from '../scope/lock-scope.js'
import type { FencingTable } from '../session/fencing-table.js'
import type { Place } from '../session/place.js'
import type { Session } from '../session/session.js'
import type { Settings } from '../contract/settings.js'
import type { Target } from '../names/targets.js'
import type { Slot } from './slot.js'

/** Where a claim that wants a connection of its own gets it from. */
export interface SessionSource {
  /** The work uses the connection already: waiting there costs nobody a connection, but keeps the work from its own. */
  readonly isInUse: boolean
  /** A transaction runs on the connection: the lock must not be given back before it has ended. */
  readonly inTransaction: boolean
  /** An EntityManager on the connection. */
  readonly manager: unknown
  /** Why there is no connection yet, where it is not another lock's holder; for error messages. */
  readonly obstacle: string | undefined
  /** The session, if it is there without waiting. */
  openAtOnce(): Session | undefined
  open(): Promise<Session>
  /** The claim does not need the session any more. */
  close(session: Session): Promise<void>
  /** Whether the session of another claim can become this one's, with the lock that is held there. */
  canTakeOver(from: SessionSource): boolean
  takeOver(from: SessionSource): void
  /** It begins a transaction of its own for the claim, with which the lock ends: nobody else can have it. Ends it, if it still runs. */
  endTransaction?(): Promise<void>
  /** The lock is about to be given back: nothing of the work may go on. */
  endWork(): void
}

/** What happens to the claims of a service, for its events and its handles. */
export interface ClaimListener {
  waiting(claim: Claim): void
  lost(claim: Claim, error: Error): void
  releaseFailed(claim: Claim, error: Error): void
  deadlock(claim: Claim, cycle: readonly string[]): Error
}

/**
 * The service that a claim belongs to. The services of a DataSource share slots and sessions, so what is a service's own (its events,
 * its bounds, its end) goes with the claim.
 */
export interface ClaimOwner {
  readonly settings: Settings
  readonly listener: ClaimListener
  /** Where fencing tokens come from, if not from the server's own numbers. */
  readonly fencing: FencingTable | undefined
  /** `close()` of the service has begun. */
  readonly isClosing: boolean
}

/** Why a claim ended without the lock. */
export type Failure = 'timeout' | Error

/**
 * One caller's claim to one lock, through its whole life: queued, then held, then over. It is its own entry in the slot's
 * queue, so that leaving the queue costs nothing.
 */
export class Claim {
  state: 'queued' | 'held' | 'over' = 'queued'
  /** How the lock came: granted by the server, or passed on by another caller of this process. */
  by: 'server' | 'handover' = 'server'
  /** Where it is held. */
  place: Place | undefined
  session: Session | undefined
  grantedAt = 0
  /** How many handles share it (re-entrance). */
  shares = 1
  /** The handles that have it: one, or more when a scope is re-entered. */
  handle: HeldLock | undefined
  otherHandles: HeldLock[] | undefined
  /** It could not have the lock at once. */
  hasWaited = false

  next: Claim | undefined
  previous: Claim | undefined

  constructor(
    readonly owner: ClaimOwner,
    readonly slot: Slot,
    readonly target: Target,
    readonly startedAt: number,
    /** Monotonic time; Infinity for ever. */
    readonly deadline: number,
    /** Ask once, do not wait. */
    readonly isTry: boolean,
    /** A connection of its own; undefined for the shared session. */
    readonly source: SessionSource | undefined,
    /** The scoped call it is for; undefined for a handle, which belongs to whoever has it. */
    readonly scope: LockScope | undefined,
    /** The innermost scope that can not end before this wait. */
    readonly waitsIn: LockScope | undefined,
    readonly signal: AbortSignal | undefined,
    readonly settle: (failure: Failure | undefined) => void,
  ) {}

  get name(): string {
    return this.target.name
  }

  get literal(): string {
    return this.target.literal
  }

  /** Held for certain: false as well while the server is being asked whether it has kept the session. */
  get isCertain(): boolean {
    return this.state === 'held' && (this.session?.isCertain ?? false)
  }

  /** Held or in doubt, by the clocks of this machine: asks nobody. */
  get isHeld(): boolean {
    return this.state === 'held' && (this.session?.isAlive ?? false)
  }
}
