import { databaseError } from '../contract/database-error.js'
import { NamedLockLostError } from '../contract/errors.js'
import { readPassedTurn } from '../session/answers.js'
import { DirectPlace } from '../session/direct-place.js'
import type { Asker, Place, Request } from '../session/place.js'
import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'
import { monotonicNow } from '../util/clock.js'
import { ClaimQueue } from './claim-queue.js'
import type { Claim, ClaimOwner, ClaimSlot, Failure } from './claim.js'
import { Contest } from './contest.js'
import type { Contested } from './contested.js'
import { startWaiting } from './deadlock.js'
import { Readers, type SharedSlot } from './readers.js'
import { releaseError } from './release-error.js'
import type { Turn } from './turn.js'

/** What a slot needs of what the services of a DataSource share. */
export interface SlotHost {
  readonly sessions: Sessions
  /** No caller holds or wants the lock any more. */
  retire(slot: Slot): void
  /** The claims of this process that hold the key, by whichever service of the DataSource. */
  holdersInProcess(exclusionKey: string): readonly Claim[]
  /** Readers with connections of their own wait for the key: they do so beside its slot, as other processes do. */
  hasReadersBeside(exclusionKey: string): boolean
  /** A lock is being released, and its holder waits for the answer. */
  releasing(): void
  /** The server has answered a release, or its session is dead. */
  released(): void
}

type State = 'free' | 'asking' | 'contending' | 'held' | 'yielding' | 'releasing'

/**
 * The place of one key in this process: which claim holds it here, and the queue of claims behind, first in, first out.
 *
 * A slot is in one of these states:
 *
 * - `free`: no caller of this process holds or wants the lock. The slot is forgotten.
 * - `asking`: the first caller's request is under way in the shared session's next statement.
 * - `contending`: another session holds the lock, and the slot (not a caller) tries to get it: see contest.ts for how.
 *   Any number of callers queue meanwhile, without a connection.
 * - `held`: a caller of this process has the lock. When it is done, the next caller gets it directly: a hand-over, without the
 *   server. Bounded in number and time (turn.ts), so that other processes get their turn. Readers hold the lock together: the
 *   first is granted it by the server, others join within the same bounds, and after them only when the server says
 *   that no session waits for the lock alone (readers.ts).
 * - `yielding`: the turn of this process is over and callers want the lock: one request releases it and takes it again
 *   unless another session wants it, or asks whether another process polls before the lock is asked for anew.
 * - `releasing`: the lock is being released.
 *
 * The queue is served in its order, with one exception. A wait must never need a connection that a waiting caller holds: the pool may be
 * full of transactions that wait for this lock (`lockTransaction`). So a claim that brings its connection does not wait behind one that
 * still has to get its own, and every request for such a claim goes out on the connection that it brings.
 *
 * free → asking → held → releasing → free is the whole life of an uncontended lock. asking → contending → held when another session
 * had it; held → yielding → held or contending under contention; held → contending when the session dies while callers
 * are queued.
 */
export class Slot implements Asker, ClaimSlot, Contested, SharedSlot {
  /** The key that is asked for or held, as it stands in SQL. Exact names that only this process takes for one have their own. */
  literal: string
  /** What the database said when the slot could last not ask it, for callers that time out meanwhile. */
  trouble: unknown
  readonly #host: SlotHost
  readonly #queue = new ClaimQueue()
  /** Made when the lock is first held by another session: most never are. */
  #contest: Contest | undefined
  /** Written by `#become` alone, with `#place`. */
  #state: State = 'free'
  /** The claim that holds the lock, the first of several readers. Empty but in `held`. */
  #holder: Claim | undefined
  /** The readers beside the holder. Made when readers first share the lock. */
  #readers: Readers | undefined
  /** Where the lock is asked for (`asking`), held, or released. Empty in `free` and `contending`, and where the shared session is asked whether another process polls. */
  #place: Place | undefined
  /** The session on which this process has the lock. Set by `won`; emptied when the server has answered the release, and by a loss. */
  #session: Session | undefined
  /** The claim that is being released. Set while a release is under way, but where the lock is released because no claim was left for it. */
  #leaving: Claim | undefined
  /** Ends the wait of the holder for the answer to its release. Set while a release is under way; emptied early by `checkRelease`. */
  #released: (() => void) | undefined
  /** `checkRelease` has found the release unanswered before. Written with `#released`. */
  #isReleaseLate = false

  constructor(
    /** Slots are found by it: what the server may fold together with the key. */
    readonly exclusionKey: string,
    literal: string,
    host: SlotHost,
    /** How long this process may go on with the lock. */
    readonly turn: Turn,
    /** The exclusion key, but for readers that have a slot beside the key's. */
    readonly id = exclusionKey,
  ) {
    this.literal = literal
    this.#host = host
  }

  /** See `Sessions.freshToken`. */
  freshToken(timeout: number): Promise<bigint> {
    return this.#host.sessions.freshToken(timeout)
  }

  get holder(): Claim | undefined {
    return this.#holder
  }

  /** All of them, where readers hold the lock together. */
  get holders(): readonly Claim[] {
    if (!this.#holder) return []
    return this.#readers ? [this.#holder, ...this.#readers.others] : [this.#holder]
  }

  get isHeldByReaders(): boolean {
    return this.#holder?.target.isShared === true
  }

  /** Whether a claim of that service holds the lock, waits for it, or is being released here. */
  isUsedBy(owner: ClaimOwner): boolean {
    if (this.#holder?.owner === owner || this.#leaving?.owner === owner) return true
    for (const claim of this.#queue) if (claim.owner === owner) return true
    return this.#readers !== undefined && this.holders.some((claim) => claim.owner === owner)
  }

  /** The same for all slots of the key, by whichever service of the DataSource. */
  get holdersInProcess(): readonly Claim[] {
    return this.#host.holdersInProcess(this.exclusionKey)
  }

  /** The claim that has waited longest. */
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
    if (claim.target.isShared && this.isHeldByReaders) {
      this.#addReader(claim)
      return
    }
    const isBeingGivenUp = this.#state === 'releasing' && !this.#queue.head
    if (isBeingGivenUp && this.#leaving?.isReleasedLater && this.#takeBack(claim)) return
    if (claim.isTry && this.#state !== 'free' && !isBeingGivenUp && !this.#isAskedForReadersLike(claim)) {
      claim.state = 'over'
      claim.settle('timeout')
      return
    }
    this.#queue.push(claim)
    if (this.#state === 'free') this.#next()
    else if (!isBeingGivenUp) {
      this.#noteWaiting(claim)
      if (claim.source?.isInUse) this.#connectionBrought()
    }
  }

  /** A queued caller leaves: its time is up, it was aborted, or the service closes. */
  leave(claim: Claim, failure: Failure): void {
    if (claim.state !== 'queued') return
    this.#queue.remove(claim)
    claim.state = 'over'
    claim.settle(failure)
    this.#contest?.left(claim)
    if (!this.#queue.head) this.#contest?.deserted()
    else if (this.isHeldByReaders) this.letReadersIn()
  }

  /** The holder is done. Resolves when the lock is given up: handed over here, or released on the server. */
  release(claim: Claim): Promise<void> | undefined {
    if (claim.state !== 'held') return undefined
    claim.state = 'over'
    this.#holder = this.#readers?.without(claim, this.#holder as Claim)
    if (this.#holder) return undefined
    this.#readers?.clear()
    const place = this.#place as Place
    const next = this.#queue.head
    if (next) return this.#passOn(claim, next, place)
    return claim.isReleasedLater && place.askLater
      ? this.#giveUpLater(claim, place)
      : this.#giveUp(claim, place, 'releasing', 'give')
  }

  /** The answer to a request of this slot. */
  answered(request: Request, answer: string | undefined, error: Error | undefined): void {
    if (request === 'take' || request === 'takeShared') this.#asked(answer, error)
    else if (request === 'isFree') this.#lookedAtMark(answer)
    else this.#gaveUp(request, answer, error)
  }

  /** The server has granted the lock on `place`: a turn of this process begins, unless no other process wanted the lock meanwhile. */
  won(place: Place, wasBusy = true): void {
    if (wasBusy || !this.turn.isOn) this.turn.begin()
    this.trouble = undefined
    this.#session = place.session
    place.held(1, this.#session)
    const claim = this.#claimFor(place)
    // The caller that the lock was asked for may have left meanwhile.
    if (claim) {
      this.#grant(claim, place, 'server')
      if (claim.target.isShared) this.letReadersIn()
    } else void this.#giveUp(undefined, place, 'releasing', 'give')
  }

  /** The contest ended without the lock: no caller is queued any more. */
  conceded(): void {
    this.#next()
  }

  /** All queued callers leave with this error: asking again would not help. */
  failAll(error: Error): void {
    for (const claim of this.waiters) this.leave(claim, error)
  }

  /** The server has found the lock held by another session: callers that do not wait leave. */
  foundBusy(): void {
    for (const claim of this.waiters) this.#keepWaiting(claim)
  }

  /** The session is dead: a lock held on it is lost, and queued callers go on waiting. */
  sessionLost(session: Session, error: Error): void {
    this.#contest?.sessionLost(session)
    if (this.#session !== session || this.#state !== 'held') return
    const lost = this.holders
    this.#readers?.clear()
    this.#holder = this.#session = undefined
    for (const claim of lost) claim.state = 'over'
    for (const claim of lost) claim.owner.listener.lost(claim, error)
    if (this.#queue.head) this.#contend(false)
    else this.#next()
  }

  /**
   * Called from time to time while locks are being released; true while the holder waits for this one. A second look that finds it
   * unanswered ends the holder's wait: its lock was held until then, and in a silent network the answer may take the rest of the lease.
   */
  checkRelease(): boolean {
    if (!this.#released) return false
    if (!this.#isReleaseLate) return (this.#isReleaseLate = true)
    this.#released()
    this.#released = undefined
    return false
  }

  /** Grants the lock to the readers at the head of the queue, as far as they may join those that hold it. */
  letReadersIn(): void {
    // No reader joins a lock after the end of its lease.
    if (!this.#holder?.checkLease()) return
    const place = this.#place as Place
    for (let head: Claim | undefined = this.#queue.head; head && this.#fits(head, place); head = this.#queue.head) {
      if (!(this.#readers ??= new Readers(this, this.turn)).mayJoin(head)) return
      this.#grant(head, place, 'handover')
      // `settle` runs the caller's code: it may have released the lock or closed the service.
      if (this.#place !== place || !this.isHeldByReaders) return
    }
  }

  askIsWanted(asker: Asker): void {
    this.#place?.ask('isWanted', this.literal, asker, this.#contestant.mark)
  }

  /** Writes the state, and where the lock is asked for, held or released in it. */
  #become(state: State, place: Place | undefined): void {
    this.#state = state
    this.#place = place
  }

  get #contestant(): Contest {
    return (this.#contest ??= new Contest(this, this.#queue, this.#host.sessions))
  }

  /** A claim could not have the lock at once. */
  #noteWaiting(claim: Claim): void {
    if (claim.hasWaited) return
    claim.hasWaited = true
    const cycle = startWaiting(claim)
    const { owner } = claim
    if (cycle) this.leave(claim, owner.deadlock(claim, cycle))
    else owner.listener.waiting(claim)
  }

  #keepWaiting(claim: Claim): void {
    if (claim.isTry) this.leave(claim, 'timeout')
    else this.#noteWaiting(claim)
  }

  /** A reader, while readers hold the lock. */
  #addReader(claim: Claim): void {
    this.#queue.push(claim)
    this.letReadersIn()
    if (claim.state !== 'queued' || this.#readers?.isAsking) return
    // Where the lock was found to be lost just now, it is asked for anew.
    if (this.#state === 'held') this.#keepWaiting(claim)
    else if (!claim.isTry) this.#noteWaiting(claim)
  }

  /** If every claim ahead is a reader of the same key, their pending answer decides for this reader as well. */
  #isAskedForReadersLike({ target }: Claim): boolean {
    if (!target.isShared || (this.#state !== 'asking' && this.#state !== 'releasing')) return false
    return this.waiters.every((waiter) => waiter.target.isShared && waiter.literal === target.literal)
  }

  /** A claim has come that brings its connection: a question that waits for another connection is withdrawn. */
  #connectionBrought(): void {
    if (this.#state === 'contending') this.#contest?.connectionBrought()
    else if (this.#state === 'asking' || this.#state === 'yielding') {
      if (this.#host.sessions.shared.withdraw(this) && this.#queue.head) this.#next()
    }
  }

  /** The claim for which the server has granted the lock on `place`. */
  #claimFor(place: Place): Claim | undefined {
    const { head } = this.#queue
    if (!head || this.#fits(head, place)) return head
    if (!place.source) return undefined
    return this.waiters.find((claim) => claim.source === place.source && this.#fits(claim, place))
  }

  /** This process does not have the lock: it is asked for, for the first in the queue, or the slot is forgotten. */
  #next(): void {
    const head = this.#queue.head
    if (!head) {
      this.#become('free', undefined)
      this.#host.retire(this)
    } else if (this.turn.isOn && !head.isTry && !head.source?.isAlone && this.turn.isOver(head)) {
      // Another process that polls gets a chance before this process asks again.
      const place = this.#placeToLook(head)
      this.#become('yielding', place)
      ;(place ?? this.#host.sessions.shared).ask('isFree', this.#contestant.mark, this)
    } else {
      this.#askFor(head)
    }
  }

  #askFor(head: Claim): void {
    const { shared } = this.#host.sessions
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

  /** Where to ask whether another process polls; undefined: on the shared session. */
  #placeToLook(head: Claim): DirectPlace | undefined {
    if (head.source?.isInUse && !this.#contest?.isOpeningFor(head)) return this.#ownPlace(head)
    const other = this.#host.sessions.shared.session ? undefined : this.#bringing(head)
    return other && this.#ownPlace(other)
  }

  #ask(head: Claim, place: Place): void {
    this.#become('asking', place)
    this.literal = head.literal
    place.ask(head.target.isShared ? 'takeShared' : 'take', this.literal, this)
  }

  #asked(answer: string | undefined, error: Error | undefined): void {
    const place = this.#place as Place
    if (answer === '1') {
      this.won(place, false)
      return
    }
    if (error && place.source && place.session) place.session.lose(error) // it may have the lock
    this.#leavePlace(place)
    if (answer === '0') {
      this.foundBusy()
      this.#contend(false)
    } else if (error instanceof NamedLockLostError) {
      // The session died; a new one may get an answer.
      this.#contend(false)
    } else {
      this.failAll(databaseError('The database could not be asked for the lock', error))
      this.#next()
    }
  }

  #contend(hasYielded: boolean, isKnownBusy = true): void {
    this.#become('contending', undefined)
    if (hasYielded || isKnownBusy) this.turn.end()
    this.#contestant.start(hasYielded, isKnownBusy)
  }

  /** From session to session, and from key to key, a lock always goes through the server; a session can change hands with its lock. */
  #fits(claim: Claim, { source }: Place): boolean {
    if (claim.literal !== this.literal) return false
    return claim.source === source || (source !== undefined && claim.source?.canTakeOver(source) === true)
  }

  #grant(claim: Claim, place: Place, by: 'server' | 'handover'): void {
    this.#queue.remove(claim)
    if (claim.source) place.passTo?.(claim.source)
    this.#become('held', place)
    if (this.#holder) (this.#readers ??= new Readers(this, this.turn)).add(claim)
    else this.#holder = claim
    claim.state = 'held'
    claim.by = by
    claim.place = place
    claim.session = this.#session
    claim.grantedAt = monotonicNow()
    this.turn.granted(claim.grantedAt)
    claim.settle(undefined)
  }

  /** The next caller gets the lock: directly, or through the server. */
  #passOn(leaving: Claim | undefined, next: Claim, place: Place): Promise<void> | undefined {
    this.turn.passOn()
    if (!this.#fits(next, place)) return this.#giveUp(leaving, place, 'releasing', 'give')
    if (this.turn.isOver(next)) return this.#giveUp(leaving, place, 'yielding', 'passTurn')
    this.#grant(next, place, 'handover')
    if (next.target.isShared) this.letReadersIn()
    return undefined
  }

  /** Nothing waits for the answer: the request goes out with the next one, and the next caller of this key may take it back before. */
  #giveUpLater(claim: Claim, place: Place): undefined {
    this.#become('releasing', place)
    this.#leaving = claim
    place.askLater?.('give', this.literal, this)
  }

  /** A caller wants the lock before its release was sent. The lock is passed on then, as if the caller had been queued. */
  #takeBack(claim: Claim): boolean {
    const place = this.#place as Place
    // A try has to be answered at once, and the end of a turn may let another process have the lock.
    if (!this.#fits(claim, place) || (claim.isTry && this.turn.isOver(claim))) return false
    if (!this.#session?.checkLease() || place.session !== this.#session || !place.takeBack?.(this)) return false
    this.#leaving = undefined
    this.#queue.push(claim)
    void this.#passOn(undefined, claim, place)
    this.#host.released()
    return true
  }

  #giveUp(claim: Claim | undefined, place: Place, state: 'yielding' | 'releasing', request: Request): Promise<void> {
    this.#become(state, place)
    this.#leaving = claim
    return new Promise((resolve) => {
      this.#released = resolve
      this.#isReleaseLate = false
      this.#host.releasing()
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
    this.#session = this.#leaving = undefined
    place.held(-1, session)
    // In doubt the connection ends: a lock that cannot be released would stay forever.
    if (error && session && !session.lostError) session.lose(error)
    if (leaving) {
      if (!wasHeld) leaving.owner.listener.releaseFailed(leaving, releaseError(leaving, error))
      this.#host.released()
    }
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
    const { sessions } = this.#host
    if (!place.session || place === sessions.shared) return
    if (place.source) void place.source.close(place.session)
    else sessions.waiting.putBack(place.session)
  }

  /** The answer to the question whether another process polls. */
  #lookedAtMark(answer: string | undefined): void {
    if (this.#place) this.#leavePlace(this.#place)
    this.turn.begin()
    const { head } = this.#queue
    if (!head) this.#next()
    else if (answer === '0' || this.#host.hasReadersBeside(this.exclusionKey)) this.#contend(true)
    else this.#askFor(head)
  }
}
