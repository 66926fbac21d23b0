import { databaseError } from '../contract/database-error.js'
import { DirectPlace } from '../session/direct-place.js'
import type { Asker, Place, Request } from '../session/place.js'
import { readPassedTurn } from '../session/answers.js'
import type { Session } from '../session/session.js'
import { ClaimQueue } from './claim-queue.js'
import type { Claim, ClaimOwner, ClaimSlot, Failure } from './claim.js'
import { Contest } from './contest.js'
import type { Contested } from './contested.js'
import { Readers } from './readers.js'
import type { SlotContext } from './slot-context.js'
import { monotonicNow } from '../util/clock.js'

/**
 * The place of one key in this process: who holds it here, and the queue of callers behind, first in, first out.
 *
 * A slot is in one of these states:
 *
 * - `free`: nobody here holds or wants the lock. The slot is forgotten.
 * - `asking`: the first caller's request is under way in the shared session's next statement.
 * - `contending`: the lock is somebody else's, and the slot (not a caller) tries to get it: see contest.ts for how.
 *   Any number of callers queue meanwhile, without a connection.
 * - `held`: a caller of this process has the lock. When it is done, the next caller gets it directly: a hand-over, which the
 *   server does not hear of. Bounded in number and time, so that other processes get their turn. Readers hold it together: the
 *   first is granted it by the server, others join within the same bounds, and after them only when the server says
 *   that nobody waits who wants it alone.
 * - `yielding`: the turn of this process is over and callers want the lock: one request gives it back and takes it again
 *   unless somebody else wants it, or looks whether somebody polls before it is asked for anew.
 * - `releasing`: the lock is being given back.
 *
 * The queue is served in its order, with one exception. A wait must never need what those who wait hold: the pool may be full of
 * transactions that wait for this lock (`lockTransaction`). So a claim that brings its connection does not wait behind one whose
 * connection is still to come, and everything that is asked for such a claim is asked on that connection.
 *
 * free → asking → held → releasing → free is the whole life of an uncontended lock. asking → contending → held when somebody
 * else had it; held → yielding → held or contending under contention; held → contending when the session dies while callers
 * are queued.
 */
export class Slot implements Asker, ClaimSlot, Contested {
  /** The key that is asked for or held, as it stands in SQL. Exact names that only this process takes for one have their own. */
  literal: string
  /** What the database said when the slot could last not ask it, for the callers whose time runs out meanwhile. */
  trouble: unknown
  readonly #context: SlotContext
  readonly #queue = new ClaimQueue()
  /** Made when the lock is first somebody else's: most never are. */
  #contest: Contest | undefined
  #state: 'free' | 'asking' | 'contending' | 'held' | 'yielding' | 'releasing' = 'free'
  #holder: Claim | undefined
  /** Made when readers first have the lock. */
  #readers: Readers | undefined
  /** The session on which this process has the lock. */
  #place: Place | undefined
  #session: Session | undefined
  /** This process's turn: since when, and how often the lock was passed on in it. */
  #turnStartedAt = 0
  #passedOn = 0
  /** When the lock was last granted to a caller. */
  #grantedAt = 0
  /** Who waits for a release to be answered. */
  #released: (() => void) | undefined
  /** `checkRelease` has found the release unanswered before. */
  #isReleaseLate = false
  #leaving: Claim | undefined

  constructor(
    /** Slots are found by it: what the server may fold together with the key. */
    readonly exclusionKey: string,
    literal: string,
    context: SlotContext,
    /** The exclusion key, but for readers who are not alone in having it. */
    readonly id = exclusionKey,
  ) {
    this.literal = literal
    this.#context = context
  }

  /** See `Sessions.freshToken`. */
  freshToken(timeout: number): Promise<bigint> {
    return this.#context.sessions.freshToken(timeout)
  }

  get holder(): Claim | undefined {
    return this.#holder
  }

  /** All of them, where readers have it together. */
  get holders(): readonly Claim[] {
    if (!this.#holder) return []
    return this.#readers ? [this.#holder, ...this.#readers.all] : [this.#holder]
  }

  /** Whether a claim of that service holds the lock, waits for it, or is being released here. */
  isUsedBy(owner: ClaimOwner): boolean {
    if (this.#holder?.owner === owner || this.#leaving?.owner === owner) return true
    for (const claim of this.#queue) if (claim.owner === owner) return true
    return this.#readers !== undefined && this.holders.some((claim) => claim.owner === owner)
  }

  /** The same for all slots of the key, by whichever service of the DataSource. */
  get holdersInProcess(): readonly Claim[] {
    return this.#context.holdersInProcess(this.exclusionKey)
  }

  /** Who waits longest. */
  get head(): Claim | undefined {
    return this.#queue.head
  }

  get hasWaiters(): boolean {
    return this.#queue.head !== undefined
  }

  get waiters(): readonly Claim[] {
    return [...this.#queue]
  }

  /** A caller wants the lock. Settles the claim at once when it does not want to wait and would have to. */
  add(claim: Claim): void {
    if (claim.target.isShared && this.#holder?.target.isShared) {
      this.#addReader(claim)
      return
    }
    const isBeingGivenUp = this.#state === 'releasing' && !this.#queue.head
    if (claim.isTry && this.#state !== 'free' && !isBeingGivenUp && !this.#isAskedForReadersLike(claim)) {
      claim.state = 'over'
      claim.settle('timeout')
      return
    }
    this.#queue.push(claim)
    if (this.#state === 'free') this.#next()
    else if (!isBeingGivenUp) {
      this.#waits(claim)
      if (claim.source?.isInUse) this.#overtake()
    }
  }

  /** A claim has come that brings its connection: what waits for a connection on behalf of the others steps aside. */
  #overtake(): void {
    if (this.#state === 'contending') this.#contest?.connectionBrought()
    else if (
      (this.#state === 'asking' || this.#state === 'yielding') &&
      this.#context.sessions.shared.withdraw(this) &&
      this.#queue.head
    ) {
      this.#place = undefined
      this.#next()
    }
  }

  /** A reader does not have to wait for those before it, when they are readers, too, and the answer to them is his. */
  #isAskedForReadersLike({ target }: Claim): boolean {
    if (!target.isShared || (this.#state !== 'asking' && this.#state !== 'releasing')) return false
    return this.waiters.every((waiter) => waiter.target.isShared && waiter.literal === target.literal)
  }

  /** A queued caller leaves: its time is up, it was aborted, or the service closes. */
  leave(claim: Claim, failure: Failure): void {
    if (claim.state !== 'queued') return
    this.#queue.remove(claim)
    claim.state = 'over'
    claim.settle(failure)
    this.#contest?.left(claim)
    if (!this.#queue.head) this.#contest?.deserted()
    else if (this.#holder?.target.isShared) this.#letReadersIn()
  }

  /** The holder is done. Resolves when the lock is given up: handed over here, or given back on the server. */
  release(claim: Claim): Promise<void> | undefined {
    if (claim.state !== 'held') return undefined
    claim.state = 'over'
    this.#holder = this.#readers?.without(claim, this.#holder as Claim)
    if (this.#holder) return undefined
    this.#readers?.clear()
    const place = this.#place as Place
    const next = this.#queue.head
    if (!next) return this.#giveUp(claim, place, 'releasing', 'give')
    this.#passedOn++
    if (!this.#fits(next, place)) return this.#giveUp(claim, place, 'releasing', 'give')
    if (this.#isTurnOver(next)) return this.#giveUp(claim, place, 'yielding', 'passTurn')
    this.#grant(next, place, 'handover')
    if (next.target.isShared) this.#letReadersIn()
    return undefined
  }

  answered(request: Request, answer: string | undefined, error: Error | undefined): void {
    if (request === 'take' || request === 'takeShared') this.#asked(answer, error)
    else if (request === 'isWanted') this.#lookedForWriters(answer)
    else if (request === 'isFree') this.#lookedAtMark(answer)
    else this.#gaveUp(request, answer, error)
  }

  /** The server has granted the lock on `place`: a turn of this process begins, unless nobody else wanted the lock meanwhile. */
  won(place: Place, wasBusy = true): void {
    if (wasBusy || this.#turnStartedAt === 0) {
      this.#turnStartedAt = monotonicNow()
      this.#passedOn = 0
    }
    this.trouble = undefined
    this.#place = place
    this.#session = place.session
    place.held(1, this.#session)
    const claim = this.#claimFor(place)
    // The caller it was meant for may have left meanwhile.
    if (claim) {
      this.#grant(claim, place, 'server')
      if (claim.target.isShared) this.#letReadersIn()
    } else void this.#giveUp(undefined, place, 'releasing', 'give')
  }

  /** This process had the lock a moment ago: its turn goes on. */
  resume(turnStartedAt: number): void {
    this.#turnStartedAt = turnStartedAt
  }

  /** The contest ended without the lock: nobody is queued any more. */
  conceded(): void {
    this.#next()
  }

  /** Everybody who is queued gets this error: asking on would not help. */
  failAll(error: Error): void {
    for (const claim of this.waiters) this.leave(claim, error)
  }

  /** The server has found the lock held by another session: callers that do not wait leave. */
  foundBusy(): void {
    for (const claim of this.waiters) {
      if (claim.isTry) this.leave(claim, 'timeout')
      else this.#waits(claim)
    }
  }

  /** The session is dead: whatever was held on it is lost, and whoever is queued goes on waiting. */
  sessionLost(session: Session, error: Error): void {
    this.#contest?.sessionLost(session)
    if (this.#session !== session || this.#state !== 'held') return
    const lost = this.holders
    this.#readers?.clear()
    this.#holder = this.#place = this.#session = undefined
    for (const claim of lost) claim.state = 'over'
    for (const claim of lost) claim.owner.listener.lost(claim, error)
    if (this.#queue.head) this.#contend(false)
    else this.#next()
  }

  /** The next deadline of a queued caller; those whose time is up leave. */
  expire(now: number): number {
    let next = Infinity
    for (const claim of this.waiters) {
      if (claim.deadline <= now) this.leave(claim, claim.isTry ? this.#context.unanswered(claim) : 'timeout')
      else if (claim.deadline < next) next = claim.deadline
    }
    return next
  }

  /**
   * Called from time to time while locks are being given back; true while the holder waits for this one. A second look that finds it
   * unanswered ends the holder's wait: its lock was held until then, and in a silent network the answer may take the rest of the lease.
   */
  checkRelease(): boolean {
    if (!this.#released) return false
    if (!this.#isReleaseLate) return (this.#isReleaseLate = true)
    this.#released()
    this.#released = undefined
    return false
  }

  get #contestant(): Contest {
    return (this.#contest ??= new Contest(this, this.#queue, this.#context.sessions, this.#context.settings.lease))
  }

  #waits(claim: Claim): void {
    if (claim.hasWaited) return
    claim.hasWaited = true
    this.#context.waits(claim)
  }

  /** The claim that a lock which the server has granted on `place` is for. */
  #claimFor(place: Place): Claim | undefined {
    const { head } = this.#queue
    if (!head || this.#fits(head, place)) return head
    if (!place.source) return undefined
    return this.waiters.find((claim) => claim.source === place.source && this.#fits(claim, place))
  }

  /** The lock is not ours: ask for the first in the queue, or be forgotten. */
  #next(): void {
    const head = this.#queue.head
    if (!head) {
      this.#state = 'free'
      const turnStartedAt = this.#turnStartedAt
      this.#turnStartedAt = 0
      this.#context.retire(this, turnStartedAt, this.#grantedAt)
    } else if (this.#turnStartedAt > 0 && !head.isTry && this.#isTurnOver(head)) {
      // Whoever polls gets a chance before this process asks again.
      this.#state = 'yielding'
      this.#place = this.#placeToLook(head)
      ;(this.#place ?? this.#context.sessions.shared).ask('isFree', this.#contestant.mark, this)
    } else {
      this.#askFor(head)
    }
  }

  #askFor(head: Claim): void {
    const { shared } = this.#context.sessions
    const place = head.source ? this.#ownPlace(head) : shared.session && shared
    if (place) this.#ask(head, place)
    else if (head.source || this.#bringing(head)) this.#contend(false, false)
    else this.#ask(head, shared)
  }

  /** Another claim than the first that brings its connection. */
  #bringing(head: Claim): Claim | undefined {
    return head.next && this.waiters.find((claim) => claim !== head && claim.source?.isInUse)
  }

  /** The claim's own connection, if it is there without waiting. */
  #ownPlace(claim: Claim): DirectPlace | undefined {
    if (this.#contest?.isOpeningFor(claim)) return undefined
    const session = claim.source?.openAtOnce()
    return session && new DirectPlace(session, claim.source)
  }

  /** Where to look whether another process polls; undefined: on the shared session. */
  #placeToLook(head: Claim): DirectPlace | undefined {
    if (head.source?.isInUse && !this.#contest?.isOpeningFor(head)) return this.#ownPlace(head)
    const other = this.#context.sessions.shared.session ? undefined : this.#bringing(head)
    return other && this.#ownPlace(other)
  }

  #ask(head: Claim, place: Place): void {
    this.#state = 'asking'
    this.literal = head.literal
    this.#place = place
    place.ask(head.target.isShared ? 'takeShared' : 'take', this.literal, this)
  }

  #asked(answer: string | undefined, error: Error | undefined): void {
    const place = this.#place as Place
    this.#place = undefined
    if (answer === '1') {
      this.won(place, false)
      return
    }
    if (error && place.source && place.session) place.session.lose(error) // it may have the lock
    this.#leavePlace(place)
    if (answer === '0') {
      this.foundBusy()
      this.#contend(false)
    } else if (this.#context.isWorthRetrying(error)) {
      this.#contend(false)
    } else {
      this.failAll(databaseError('The lock could not be asked for', error))
      this.#next()
    }
  }

  #contend(hasYielded: boolean, isKnownBusy = true): void {
    this.#state = 'contending'
    if (hasYielded || isKnownBusy) this.#turnStartedAt = 0
    this.#contestant.start(hasYielded, isKnownBusy)
  }

  /** From session to session, and from key to key, a lock always goes through the server; a session can change hands with its lock. */
  #fits(claim: Claim, { source }: Place): boolean {
    if (claim.literal !== this.literal) return false
    return claim.source === source || (source !== undefined && claim.source?.canTakeOver(source) === true)
  }

  #grant(claim: Claim, place: Place, by: 'server' | 'handover'): void {
    this.#queue.remove(claim)
    if (claim.source && place.source && claim.source !== place.source) {
      claim.source.takeOver(place.source)
      place.source = claim.source
    }
    this.#state = 'held'
    if (this.#holder) (this.#readers ??= this.#newReaders()).add(claim)
    else this.#holder = claim
    claim.state = 'held'
    claim.by = by
    claim.place = place
    claim.session = this.#session
    claim.grantedAt = this.#grantedAt = monotonicNow()
    claim.settle(undefined)
  }

  /** A reader, while readers have the lock. */
  #addReader(claim: Claim): void {
    this.#queue.push(claim)
    this.#letReadersIn()
    if (claim.state !== 'queued' || this.#readers?.isAsking) return
    // Where the lock was found to be lost just now, it is asked for anew.
    if (this.#state === 'held') this.#keepWaiting(claim)
    else if (!claim.isTry) this.#waits(claim)
  }

  #keepWaiting(claim: Claim): void {
    if (claim.isTry) this.leave(claim, 'timeout')
    else this.#waits(claim)
  }

  #keepAllWaiting(): void {
    for (const claim of this.waiters) this.#keepWaiting(claim)
  }

  /** Readers join those who have the lock, unless somebody waits before them, here or elsewhere. */
  #letReadersIn(): void {
    // Nobody joins those whose lease has run out: looking at it ends it.
    if (!this.#holder?.checkLease()) return
    const place = this.#place as Place
    for (let head = this.#queue.head; head && this.#fits(head, place); head = this.#queue.head) {
      if (this.#isTurnOver(head)) {
        ;(this.#readers ??= this.#newReaders()).look()
        return
      }
      this.#passedOn++
      this.#grant(head, place, 'handover')
      // Whoever was told of the grant may have ended it all.
      if (this.#place !== place || !this.#holder?.target.isShared) return
    }
  }

  #newReaders(): Readers {
    return new Readers(() => {
      if (this.#holder?.target.isShared) this.#place?.ask('isWanted', this.literal, this, this.#contestant.mark)
      else this.#readers?.looked()
    })
  }

  #lookedForWriters(answer: string | undefined): void {
    this.#readers?.looked()
    if (!this.#holder?.target.isShared) return
    if (answer === '0') {
      this.#turnStartedAt = monotonicNow()
      this.#passedOn = 0
      this.#letReadersIn()
      // Some may have come behind a writer meanwhile.
      if (this.#holder?.target.isShared && !this.#readers?.isAsking) this.#keepAllWaiting()
    } else {
      this.#keepAllWaiting()
      if (this.#queue.head) this.#readers?.lookLater()
    }
  }

  #giveUp(claim: Claim | undefined, place: Place, state: 'yielding' | 'releasing', request: Request): Promise<void> {
    this.#state = state
    this.#leaving = claim
    return new Promise((resolve) => {
      this.#released = resolve
      this.#isReleaseLate = false
      this.#context.releasing()
      if (request === 'passTurn') place.ask(request, this.literal, this, this.#contestant.mark)
      else place.ask(request, this.literal, this)
    })
  }

  #gaveUp(request: Request, answer: string | undefined, error: Error | undefined): void {
    const place = this.#place as Place
    const session = this.#session
    const leaving = this.#leaving
    const passed = request === 'passTurn' && answer !== undefined ? readPassedTurn(answer) : undefined
    const wasHeld = passed ? passed.wasHeld : answer === '1'
    this.#place = this.#session = this.#leaving = undefined
    place.held(-1, session)
    // In doubt the connection ends: a lock that nobody can give back would stay for ever.
    if (error && session && !session.lostError) session.lose(error)
    if (!wasHeld && leaving) this.#context.releaseFailed(leaving, error)
    if (leaving) this.#context.gaveUp(leaving)
    this.#released?.()
    this.#released = undefined
    if (passed?.now === 'taken') {
      this.won(place)
      return
    }
    this.#leavePlace(place)
    if (request === 'passTurn' && this.#queue.head) this.#contend(passed?.now === 'marked')
    else this.#next()
  }

  /** The lock is not held there any more. */
  #leavePlace(place: Place): void {
    this.#contest?.leaves(place)
    if (!place.session || place === this.#context.sessions.shared) return
    if (place.source) void place.source.close(place.session)
    else this.#context.sessions.returnWaiting(place.session)
  }

  #lookedAtMark(answer: string | undefined): void {
    const place = this.#place
    this.#place = undefined
    if (place) this.#leavePlace(place)
    this.#turnStartedAt = monotonicNow()
    this.#passedOn = 0
    const { head } = this.#queue
    if (!head) this.#next()
    else if (answer === '0' || this.#context.hasReadersBeside(this.exclusionKey)) this.#contend(true)
    else this.#askFor(head)
  }

  /**
   * Whether the lock has to go through the server before that claim gets it. A turn is this process's, whichever services its callers
   * used; how long it may be is the option of the service that would profit from a longer one, so that `times: 0` means what it
   * says for the calls of that service.
   */
  #isTurnOver(next: Claim): boolean {
    const { times, for: period } = next.owner.settings.handOver
    return this.#passedOn > times || monotonicNow() - this.#turnStartedAt >= period
  }
}
