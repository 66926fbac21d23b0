import type { Target } from '../names/targets.js'
import { readPassedTurn } from '../session/answers.js'
import type { Asker, Place, Request } from '../session/place.js'
import type { Session } from '../session/session.js'
import { monotonicNow } from '../util/clock.js'
import type { Claim, ClaimOwner } from './claim.js'
import { releaseError } from './release-error.js'
import { Turn } from './turn.js'

/** What became of a permit that was given up: free on the server, free for another process that polls, or still in this process. */
export type GivenUp = 'free' | 'marked' | 'taken'

/** The semaphore of a permit, as the permit sees it. */
export interface PermitOwner {
  /** A permit is being released, and its holder waits for the answer. */
  releasing(): void
  /** The server has answered a release, or its session is dead. */
  released(): void
  /** The release is answered, or the turn has passed. */
  gaveUp(permit: Permit, end: GivenUp): void
}

/**
 * One permit that this process has: granted by the server, held by one claim after the other, and released. Permits that other
 * processes have are known to the server alone.
 */
export class Permit implements Asker {
  readonly turn = new Turn()
  /** Of another permit of the name callers may be queued; for this one alone, none is. */
  readonly head = undefined
  readonly hasWaiters = false
  readonly waiters: readonly Claim[] = []
  readonly #owner: PermitOwner
  /** Empty while the permit passes from claim to claim, or is being released. */
  #holder: Claim | undefined
  /** The claim that is being released; undefined where no claim was left for the permit. Set while a release is under way. */
  #leaving: Claim | undefined
  /** Ends the wait of the holder for the answer to its release. Set while a release is under way; emptied early by `checkRelease`. */
  #released: (() => void) | undefined
  #isReleaseLate = false

  constructor(
    owner: PermitOwner,
    readonly target: Target,
    readonly place: Place,
    /** The session on which it is held. */
    readonly session: Session | undefined,
  ) {
    this.#owner = owner
    this.turn.begin()
    place.held(1, session)
  }

  get number(): number {
    return this.target.permit as number
  }

  get holder(): Claim | undefined {
    return this.#holder
  }

  get holders(): readonly Claim[] {
    return this.#holder ? [this.#holder] : []
  }

  isUsedBy(owner: ClaimOwner): boolean {
    return this.#holder?.owner === owner || this.#leaving?.owner === owner
  }

  grant(claim: Claim, by: 'server' | 'handover'): void {
    if (claim.source) this.place.passTo?.(claim.source)
    this.#holder = claim
    // Services of two namespaces may share a semaphore: the key is the same, and each has its own name for it.
    claim.target = claim.target.permits?.at(this.number) ?? this.target
    claim.state = 'held'
    claim.by = by
    claim.place = this.place
    claim.session = this.session
    claim.grantedAt = monotonicNow()
    this.turn.granted(claim.grantedAt)
    claim.settle(undefined)
  }

  /** Its holder has ended: released, or lost. */
  vacate(): void {
    this.#holder = undefined
  }

  /**
   * Releases it on the server. Resolves when the server has answered.
   *
   * @param leaving The claim that had it.
   * @param mark At the end of a turn: the polling mark of other processes. The permit is taken again unless that is held.
   */
  giveUp(leaving: Claim | undefined, mark?: string): Promise<void> {
    this.#leaving = leaving
    return new Promise((resolve) => {
      this.#released = resolve
      this.#isReleaseLate = false
      this.#owner.releasing()
      const { literal } = this.target
      if (mark !== undefined) this.place.ask('passTurn', literal, this, mark)
      else if (leaving?.isReleasedLater && this.place.askLater) this.place.askLater('give', literal, this)
      else this.place.ask('give', literal, this)
    })
  }

  answered(request: Request, answer: string | undefined, error: Error | undefined): void {
    const { place, session } = this
    const leaving = this.#leaving
    const passed = request === 'passTurn' && answer !== undefined ? readPassedTurn(answer) : undefined
    const wasHeld = passed ? passed.wasHeld : answer === '1'
    this.#leaving = undefined
    if (passed?.now !== 'taken') place.held(-1, session)
    // In doubt the connection ends: a permit that cannot be released would stay taken forever.
    if (error && session && !session.lostError) session.lose(error)
    if (leaving) {
      if (!wasHeld) leaving.owner.listener.releaseFailed(leaving, releaseError(leaving, error))
      this.#owner.released()
    }
    this.#released?.()
    this.#released = undefined
    this.#owner.gaveUp(this, passed?.now === 'taken' ? 'taken' : passed?.now === 'marked' ? 'marked' : 'free')
  }

  /** See `Slot.checkRelease`. */
  checkRelease(): boolean {
    if (!this.#released) return false
    if (!this.#isReleaseLate) return (this.#isReleaseLate = true)
    this.#released()
    this.#released = undefined
    return false
  }
}
