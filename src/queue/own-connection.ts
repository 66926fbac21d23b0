import { NamedLockDeadlockError } from '../contract/errors.js'
import { DirectPlace } from '../session/direct-place.js'
import type { Place } from '../session/place.js'
import type { SessionSource } from '../session/session-source.js'
import type { Session } from '../session/session.js'
import { monotonicNow } from '../util/clock.js'
import type { Claim } from './claim.js'

/** How long one statement may block on a connection that the work needs when the call is aborted, in milliseconds: no cancel may be possible. */
const ABORTABLE = 1_000

/** When the server is first given the time to find a deadlock, and how often after that, in milliseconds: most waits are over before. */
const DETECT_AFTER = 100
const DETECT_EVERY = 5_000

/** A connection on its way to a claim. */
export interface Opening {
  readonly claim: Claim
  readonly session: Promise<Session>
  /** Resolves when the connection is there or has failed, and when it is not wanted any more. */
  readonly arrival: Promise<void>
  /** It is there, or has failed. */
  isReady: boolean
  readonly stop: () => void
}

/** A claim's connection while the lock is asked for there. */
interface Use {
  readonly claim: Claim
  readonly place: DirectPlace
  /** Work or a transaction waits for the connection: a wait there must end with the caller's. */
  readonly isInUse: boolean
  /** The connection may hold other locks, so that a wait there may be part of a deadlock. */
  readonly mayHoldLocks: boolean
}

/**
 * The connections of claims that have one of their own (a dedicated session, a transaction), during a contest.
 *
 * Such a claim waits without a connection: the connection is opened for a try, used for it, and closed again unless the lock came. An
 * opening goes on while other claims are served, so that its claim does not starve behind those. At most one connection is being
 * opened, and at most one is in use.
 */
export class OwnConnection {
  /** Called when a connection is there. */
  readonly #ready: () => void
  /** Set by `begin`. Emptied when the connection is taken, its claim leaves, or the connection of another claim is opened. */
  #opening: Opening | undefined
  /** Set by `use`. Emptied by `drop`, and by `leaves` when a lock that was held there is released. */
  #use: Use | undefined
  /** When the next wait has to be long enough for the server to find a deadlock. Set by `restart`, and by each wait that is. */
  #detectAt = 0

  constructor(ready: () => void) {
    this.#ready = ready
  }

  /** A contest begins. */
  restart(): void {
    this.#detectAt = monotonicNow() + DETECT_AFTER
  }

  /** Whether a connection is being opened for that claim, or is there but not in use yet. */
  isOpeningFor(claim: Claim): boolean {
    return this.#opening?.claim === claim
  }

  /** Whether the connection that is being opened is there, or has failed. */
  get isReady(): boolean {
    return this.#opening?.isReady ?? false
  }

  /** The opening of that claim's connection, which may have begun before. */
  begin(claim: Claim, source: SessionSource): Opening {
    if (this.#opening?.claim === claim) return this.#opening
    this.stop()
    let stop = (): void => {}
    const arrival = new Promise<void>((resolve) => (stop = resolve))
    const opening: Opening = { claim, session: source.open(), arrival, isReady: false, stop }
    const ready = (): void => {
      opening.isReady = true
      stop()
      this.#ready()
    }
    opening.session.then(ready, ready)
    return (this.#opening = opening)
  }

  /** The session of an opening that has arrived; undefined where it is not wanted any more. */
  take(opening: Opening): Promise<Session> | undefined {
    if (this.#opening !== opening) return undefined
    this.#opening = undefined
    return opening.session
  }

  /** The connection that is being opened is not wanted any more: it is closed when it comes. */
  stop(): void {
    const opening = this.#opening
    if (!opening) return
    this.#opening = undefined
    opening.stop()
    const { source } = opening.claim
    opening.session.then((session) => source?.close(session)).catch(() => {})
  }

  /** The lock is asked for on that connection now. */
  use(claim: Claim, session: Session, isInUse: boolean): DirectPlace {
    const { source } = claim
    const place = new DirectPlace(session, source)
    this.#use = {
      claim,
      place,
      isInUse: isInUse || source?.endTransaction !== undefined,
      mayHoldLocks: isInUse && !source?.isAlone,
    }
    return place
  }

  /** Whether work of that claim waits for the connection on which the lock is asked for. */
  isWantedBackBy(claim: Claim): boolean {
    return this.#use?.claim === claim && this.#use.isInUse
  }

  /** The lock did not come: a claim that only waits has no connection. */
  drop(): void {
    const place = this.#use?.place
    this.#use = undefined
    if (place) void place.source?.close(place.session)
  }

  /** The lock is not held there any more. */
  leaves(place: Place): void {
    if (this.#use?.place === place) this.#use = undefined
  }

  /** How long a wait on that session may last, whether it is a claim's own or not. */
  limitsOf(place: DirectPlace): { readonly atMost: number; readonly findsDeadlocks: boolean } {
    const use = this.#use?.place === place ? this.#use : undefined
    const now = monotonicNow()
    // A connection that holds nothing is in no deadlock: the server need not have the time to find one.
    const findsDeadlocks = use?.mayHoldLocks === true && now >= this.#detectAt
    if (findsDeadlocks) this.#detectAt = now + DETECT_EVERY
    // Work that waits for its connection must have it back in time, even where waits cannot be cancelled.
    const atMost = use?.isInUse ? Math.min(use.claim.deadline - now, use.claim.signal ? ABORTABLE : Infinity) : Infinity
    return { atMost, findsDeadlocks }
  }

  /** The server has ended a wait there as a deadlock. Returns the claim that fails by it, and the claim's error. */
  deadlockOn(place: DirectPlace, cause: unknown): { readonly claim: Claim; readonly error: Error } | undefined {
    if (this.#use?.place !== place) return undefined
    const { claim } = this.#use
    const error = new NamedLockDeadlockError(
      `Deadlock while waiting for lock '${claim.name}': its holder waits for a lock that this connection holds, the server says. ` +
        'Acquire the locks in the same order everywhere.',
      { cause },
    )
    return { claim, error }
  }
}
