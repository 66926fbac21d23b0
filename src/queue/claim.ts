import type { LockScope } from '../scope/lock-scope.js'
import type { FencingTable } from '../session/fencing-table.js'
import type { Place } from '../session/place.js'
import type { Session } from '../session/session.js'
import type { Settings } from '../contract/settings.js'
import type { Target } from '../names/targets.js'
import type { SessionSource } from '../session/session-source.js'

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

/** A handle of a lock, as far as its claims notify it. */
export interface Handle {
  /** The server's answer to the release was that the lock was not held any more. */
  foundLost: Error | undefined
  /** The lock is lost. */
  lose(error: Error): void
}

/** The slot of a claim, as far as others than the slot itself use it. */
export interface ClaimSlot {
  /** The first claim that holds the lock here. */
  readonly holder: Claim | undefined
  /** Why the slot could not ask the database last, where it could not. */
  readonly trouble: unknown
  /** All claims that hold the slot's key in this process, by all services of the DataSource. */
  readonly holdersInProcess: readonly Claim[]
  add(claim: Claim): void
  /** Ends a wait. No effect on a claim that is not queued. */
  leave(claim: Claim, failure: Failure): void
  /** Ends a claim that is held. Resolves when the lock is passed on or released; undefined: it was, at once. */
  release(claim: Claim): Promise<void> | undefined
  /** See `Sessions.freshToken`. */
  freshToken(timeout: number): Promise<bigint>
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
  handle: Handle | undefined
  otherHandles: Handle[] | undefined
  /** It could not have the lock at once. */
  hasWaited = false

  next: Claim | undefined
  previous: Claim | undefined

  constructor(
    readonly owner: ClaimOwner,
    readonly slot: ClaimSlot,
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
