import type { PermitTargets } from '../names/permit-targets.js'
import type { Place } from '../session/place.js'
import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'
import { monotonicNow } from '../util/clock.js'
import { ClaimQueue } from './claim-queue.js'
import type { Claim, ClaimOwner, ClaimSlot, Failure } from './claim.js'
import { startWaiting } from './deadlock.js'
import { PermitConnections } from './permit-connections.js'
import { PermitMarks } from './permit-marks.js'
import { PermitSearch, type SearchedPermits } from './permit-search.js'
import { Permit, type GivenUp, type PermitOwner } from './permit.js'
import type { Turn } from './turn.js'

/** How long a permit is left to other processes at the end of a turn, in milliseconds: the longest gap between two polls. */
const YIELD = 25

/** What permits need of what the services of a DataSource share. */
export interface PermitsHost {
  readonly sessions: Sessions
  /** No caller holds or wants a permit of the name any more. */
  retirePermits(permits: Permits): void
  /** This process has the permit. */
  permitTaken(permit: Permit): void
  /** It does not any more. */
  permitGone(permit: Permit): void
  /** A caller uses the permit's key as an exact name. */
  isUsedAsName(key: string): boolean
  releasing(): void
  released(): void
}

/**
 * A semaphore in this process: the permits of one name that this process has, and the queue of callers that want one.
 *
 * Each permit is a named lock of its own, and a caller with `permits: n` may use those below n. That is why there are never more than
 * n holders, whatever this class does, as long as one session is never granted a permit twice.
 *
 * The queue is first in, first out: a permit that becomes free here goes to the first caller that may use it. A caller with a smaller
 * number is passed over by a permit that it could not use, never by one that it could. The permit is handed over without the server,
 * within a turn (turn.ts); at the end of a turn it is left to other processes for a moment, if one of them polls. Permits that this
 * process does not have are looked for on the shared session (permit-search.ts), or for claims with connections of their own on those
 * (permit-connections.ts).
 */
export class Permits implements ClaimSlot, SearchedPermits, PermitOwner {
  trouble: unknown
  readonly targets: PermitTargets
  readonly marks: PermitMarks
  readonly #host: PermitsHost
  readonly #queue = new ClaimQueue()
  readonly #permits = new Map<number, Permit>()
  /** Permits that are left to other processes until that time. */
  readonly #left = new Map<number, number>()
  readonly #search: PermitSearch
  readonly #connections: PermitConnections
  #sharedWaiters = 0

  constructor(
    readonly id: string,
    targets: PermitTargets,
    host: PermitsHost,
    /** How long this process may go on asking for permits at once. */
    readonly turn: Turn,
  ) {
    this.targets = targets
    this.#host = host
    this.marks = new PermitMarks(targets.markKey, host.sessions)
    this.#search = new PermitSearch(this, host.sessions)
    this.#connections = new PermitConnections(this, host.sessions)
  }

  get holder(): Claim | undefined {
    return this.holders[0]
  }

  get holders(): readonly Claim[] {
    return [...this.#permits.values()].flatMap((permit) => permit.holders)
  }

  get head(): Claim | undefined {
    return this.#queue.head
  }

  get waiters(): readonly Claim[] {
    return [...this.#queue]
  }

  get sharedWaiters(): number {
    return this.#sharedWaiters
  }

  get permits(): Iterable<Permit> {
    return this.#permits.values()
  }

  /** A caller that waits for one of many permits waits for no single holder. */
  get holdersInProcess(): readonly Claim[] {
    return []
  }

  freshToken(timeout: number): Promise<bigint> {
    return this.#host.sessions.freshToken(timeout)
  }

  isUsedBy(owner: ClaimOwner): boolean {
    for (const permit of this.#permits.values()) if (permit.isUsedBy(owner)) return true
    for (const claim of this.#queue) if (claim.owner === owner) return true
    return false
  }

  add(claim: Claim): void {
    if (claim.isTry && this.#isHopeless(claim)) {
      claim.state = 'over'
      claim.settle('timeout')
      this.rested()
      return
    }
    this.#queue.push(claim)
    if (claim.source) {
      if (this.#isAllHeld(claim.permits)) this.keepWaiting(claim)
      this.#connections.start()
    } else {
      this.#sharedWaiters++
      // Where this process has all permits, the next one that is released here decides.
      if (this.hasAll(claim.permits) || !this.#search.add(claim)) this.keepWaiting(claim)
    }
  }

  leave(claim: Claim, failure: Failure): void {
    if (claim.state !== 'queued') return
    this.#dequeue(claim)
    claim.state = 'over'
    claim.settle(failure)
    if (claim.source) this.#connections.left(claim)
    else this.#search.left()
    this.rested()
  }

  release(claim: Claim): Promise<void> | undefined {
    if (claim.state !== 'held') return undefined
    claim.state = 'over'
    const permit = this.#permits.get(claim.target.permit as number) as Permit
    permit.vacate()
    const next = this.#nextFor(permit)
    if (!next || !fits(next, permit)) return permit.giveUp(claim)
    permit.turn.passOn()
    if (permit.turn.isOver(next)) return permit.giveUp(claim, this.marks.ofOthers)
    this.#grant(next, permit, 'handover')
    return undefined
  }

  candidates(below: number): number[] {
    const numbers: number[] = []
    const now = monotonicNow()
    const first = Math.floor(Math.random() * below)
    for (let i = 0; i < below; i++) {
      const number = (first + i) % below
      if (this.#permits.has(number) || this.#search.isAskedFor(number) || this.#connections.isReserved(number)) continue
      if ((this.#left.get(number) ?? 0) > now || this.#host.isUsedAsName(this.targets.at(number).key)) continue
      numbers.push(number)
    }
    return numbers
  }

  hasAll(below: number): boolean {
    if (this.#permits.size < below) return false
    for (let number = 0; number < below; number++) if (!this.#permits.has(number)) return false
    return true
  }

  isAsked(below: number): boolean {
    return this.#search.isAsked(below)
  }

  won(number: number, place: Place): void {
    this.trouble = undefined
    if (!this.turn.isOn) this.turn.begin()
    const permit = new Permit(this, this.targets.at(number), place, place.session)
    this.#permits.set(number, permit)
    this.#host.permitTaken(permit)
    this.#passOn(permit)
  }

  gaveUp(permit: Permit, end: GivenUp): void {
    if (end === 'taken') {
      permit.turn.begin()
      this.#passOn(permit)
      this.#settleTries()
      return
    }
    const { number, place, session } = permit
    this.#forget(permit)
    if (place.source && session) void place.source.close(session)
    if (end === 'marked') this.#left.set(number, monotonicNow() + YIELD * (0.5 + Math.random() / 2))
    const next = this.#nextFor(permit)
    if (next?.source && end === 'free') this.#connections.freed(number)
    else if (next && !next.source) this.#search.freed()
    this.#settleTries()
    this.rested()
  }

  keepWaiting(claim: Claim): void {
    if (claim.state !== 'queued' || claim.hasWaited) return
    if (claim.isTry) {
      // The answer to a release decides.
      if (!this.#isGivingUp(claim.permits)) this.leave(claim, 'timeout')
      return
    }
    claim.hasWaited = true
    const cycle = startWaiting(claim)
    if (cycle) this.leave(claim, claim.owner.deadlock(claim, cycle))
    else claim.owner.listener.waiting(claim)
  }

  sessionLost(session: Session, error: Error): void {
    this.marks.lost(session)
    const lost: Claim[] = []
    for (const permit of [...this.#permits.values()]) {
      // One that is being released gets its answer.
      if (permit.session !== session || !permit.holder) continue
      lost.push(permit.holder)
      permit.vacate()
      this.#forget(permit)
    }
    for (const claim of lost) claim.state = 'over'
    for (const claim of lost) claim.owner.listener.lost(claim, error)
    if (lost.length > 0) this.#search.freed()
    this.rested()
  }

  /** Called from time to time while permits are being released; true while a holder waits for the answer. */
  checkRelease(): boolean {
    let isLate = false
    for (const permit of this.#permits.values()) if (permit.checkRelease()) isLate = true
    return isLate
  }

  releasing(): void {
    this.#host.releasing()
  }

  released(): void {
    this.#host.released()
  }

  /** Forgets the semaphore when no caller holds or wants a permit. */
  rested(): void {
    if (this.#queue.head) return
    this.marks.give()
    if (this.#permits.size > 0 || this.#search.isBusy || this.#connections.isBusy) return
    this.#host.retirePermits(this)
  }

  /** A caller that does not want to wait would have to. */
  #isHopeless(claim: Claim): boolean {
    if (this.#isAllHeld(claim.permits)) return true
    for (const other of this.#queue) if (other.hasWaited && other.permits >= claim.permits) return true
    return false
  }

  /** Callers of this process hold all permits below that number, and are not releasing one. */
  #isAllHeld(below: number): boolean {
    if (this.#permits.size < below) return false
    for (let number = 0; number < below; number++) if (!this.#permits.get(number)?.holder) return false
    return true
  }

  /** A permit below that number is being released. */
  #isGivingUp(below: number): boolean {
    for (const permit of this.#permits.values()) if (permit.number < below && !permit.holder) return true
    return false
  }

  /** Callers that do not want to wait, and waited for the answer to a release. */
  #settleTries(): void {
    for (const claim of this.#queue) if (claim.isTry && this.#isAllHeld(claim.permits)) this.leave(claim, 'timeout')
  }

  /** The first caller that may use the permit. */
  #nextFor({ number }: Permit): Claim | undefined {
    let claim = this.#queue.head
    while (claim && claim.permits <= number) claim = claim.next
    return claim
  }

  /** Grants a permit that this process has to the first caller for which it fits, or gives it back. */
  #passOn(permit: Permit): void {
    for (const claim of this.#queue) {
      if (claim.permits <= permit.number || !fits(claim, permit)) continue
      this.#grant(claim, permit, 'server')
      return
    }
    void permit.giveUp(undefined)
  }

  #grant(claim: Claim, permit: Permit, by: 'server' | 'handover'): void {
    this.#dequeue(claim)
    permit.grant(claim, by)
    if (claim.source) this.#connections.left(claim)
    this.turn.granted(claim.grantedAt)
  }

  #dequeue(claim: Claim): void {
    this.#queue.remove(claim)
    if (!claim.source) this.#sharedWaiters--
  }

  #forget(permit: Permit): void {
    if (this.#permits.get(permit.number) === permit) this.#permits.delete(permit.number)
    this.#host.permitGone(permit)
  }
}

/** From session to session a permit goes through the server; a session can change hands with its permit. */
function fits({ source }: Claim, { place }: Permit): boolean {
  return source === place.source || (place.source !== undefined && source?.canTakeOver(place.source) === true)
}
