import {
  NamedLockClosedError,
  NamedLockConfigurationError,
  NamedLockDeadlockError,
  NamedLockLostError,
} from '../contract/errors.js'
import { BlockingWait } from '../session/blocking-wait.js'
import { databaseError } from '../contract/database-error.js'
import { DirectPlace } from '../session/direct-place.js'
import { outside } from '../util/outside.js'
import { ask, type Asker, type Place, type Request } from '../session/place.js'
import type { Session } from '../session/session.js'
import type { ClaimQueue } from './claim-queue.js'
import type { Claim } from './claim.js'
import type { SessionSource } from '../session/session-source.js'
import { Marks } from './marks.js'
import type { SlotContext } from './slot-context.js'
import type { Contested } from './contested.js'
import { clearTimeout, monotonicNow, setTimeout } from '../util/clock.js'

/** Between polls of one slot, in milliseconds, growing from one to the other. */
const FIRST_POLL = 4
const LONGEST_POLL = 25
/** The most at first: while turns pass from process to process (100 ms each) it is worth asking more often. */
const EARLY_POLL = 10
const EARLY = 1_000
/** Between tries while the database does not answer. */
const LONGEST_RETRY = 500

/** How long the connection of the first in the queue may take to come before others are served that bring theirs. */
const OVERTAKE_AFTER = 50

/** How long one statement may block on a connection whose work wants it back when the call is aborted, and no cancel may be possible. */
const ABORTABLE = 1_000

/** When the server is given the time to find a deadlock, and how often again: most waits are over before. */
const DETECT_AFTER = 100
const DETECT_EVERY = 5_000

/** How long a reader leaves the lock to somebody who polls to have it alone. */
const POLITENESS = 500

const OVERTAKEN = 'overtaken'

type Outcome = 'won' | 'slice over' | 'busy' | 'marked' | 'failed'

/**
 * How a slot gets a lock that somebody else has. One loop for the whole slot: blocking belongs to the slot, not to a caller,
 * and goes on for as long as anybody is queued.
 *
 * - **Waiting**: with a waiting session to be had, the slot blocks in the server's own queue (`GET_LOCK(k, slice)`), slice after
 *   slice: each short enough to be seen as a sign of life, and the end of one loses the place in the server's queue. When
 *   the last caller leaves, the wait is cancelled; a grant that finds nobody is given back at once.
 * - **Polling**: without one, the slot asks again and again on the shared session, with jitter, less often over time. The server
 *   grants a lock to those who block for it before any poll can see it free, so a polling slot takes a second lock,
 *   the *polling mark* of the key, while it polls. Holders who have had their turn see the mark, give the lock back and
 *   do not queue in the server again until the mark is gone or they too have polled: that is what keeps polling and
 *   waiting processes from starving each other. Readers in many processes would never all be gone at one poll: who
 *   polls to have the lock alone takes the *writers' mark*, too, and readers leave such a key alone for a while.
 * - **A connection of its own** (dedicated, transaction): the caller waits without a connection. The slot looks whether the lock
 *   is free, borrows the connection then, and tries there; it may block there while blocking permits last.
 * - **A connection that the caller brings** (lockTransaction): it waits there, and needs no other: the pool may be full of such callers.
 *   While the connection of the first in the queue is still to come, and the pool is full or it takes long, a claim that brings one is
 *   served in its place.
 */
export class Contest {
  readonly #slot: Contested
  readonly #queue: ClaimQueue
  readonly #context: SlotContext
  #marks: Marks | undefined
  #startedAt = 0
  /** When the next wait is to be long enough for the server to find a deadlock. */
  #detectAt = 0
  #isRunning = false
  #isKnownBusy = false
  /** The statement that blocks in the server's own queue; empty while there is none. */
  #wait: BlockingWait | undefined
  #wake: (() => void) | undefined
  /** The claim that is being served: the first in the queue, or one that brings its connection. */
  #serving: Claim | undefined
  /** The claim for which a connection of its own is being opened. It goes on while other claims are served. */
  #opening: Opening | undefined
  /** Takes back a question that waits for the shared session to be opened. */
  #withdraw: (() => void) | undefined
  /** The claim whose connection was last waited for, and since when. */
  #missing: Claim | undefined
  #missingSince = 0
  #overtaking: NodeJS.Timeout | undefined
  /** The claim whose own connection is being used, and that connection. */
  #alone: { claim: Claim; place: DirectPlace; isInUse: boolean; mayHoldLocks: boolean } | undefined

  constructor(slot: Contested, queue: ClaimQueue, context: SlotContext) {
    this.#slot = slot
    this.#queue = queue
    this.#context = context
  }

  /** The polling mark's literal. */
  get mark(): string {
    return this.#ownMarks.literal
  }

  get #ownMarks(): Marks {
    return (this.#marks ??= new Marks(this.#slot.exclusionKey, this.#context))
  }

  /** `isKnownBusy`: the server has said so; otherwise what goes wrong at once is the callers' to know. */
  start(hasYielded: boolean, isKnownBusy: boolean): void {
    if (this.#isRunning) return
    this.#isRunning = true
    this.#isKnownBusy = isKnownBusy
    void outside(() => this.#run(hasYielded))
  }

  /** The last caller left: an ongoing wait is of no use any more. */
  nobodyWaits(): void {
    this.#wake?.()
    this.#stopBlocking()
  }

  /** A claim has come that brings its connection: nothing is waited for on behalf of others that it could do without. */
  overtake(): void {
    if ((!this.#withdraw && !this.#opening) || !this.#bringing()) return
    if (this.#isLate) {
      this.#withdraw?.()
      this.#opening?.interrupt()
    } else {
      this.#overtaking ??= setTimeout(() => {
        this.#overtaking = undefined
        this.overtake()
      }, OVERTAKE_AFTER)
    }
  }

  #misses(): void {
    if (this.#missing !== this.#serving) {
      this.#missing = this.#serving
      this.#missingSince = monotonicNow()
    }
    this.overtake()
  }

  #comes(): void {
    this.#withdraw = undefined
    clearTimeout(this.#overtaking)
    this.#overtaking = undefined
  }

  get #isLate(): boolean {
    if (this.#missing !== this.#queue.head) return false
    return this.#context.sessions.work.hasPoolWaiters || monotonicNow() - this.#missingSince >= OVERTAKE_AFTER
  }

  /** Whether a connection is being opened for that claim, or is there but not in use yet. */
  isOpeningFor(claim: Claim): boolean {
    return this.#opening?.claim === claim
  }

  #stopBlocking(): void {
    this.#wait?.cancel()
  }

  /** That claim is not queued any more. */
  left(claim: Claim): void {
    if (this.#opening?.claim === claim) this.#stopOpening(this.#opening)
    // Its work wants the connection back; any other can change hands when the lock comes.
    if (this.#alone?.claim === claim && this.#alone.isInUse) this.#stopBlocking()
    // A writer who gives up must not keep readers behind him waiting for what he wanted, nor the other way round.
    const head = this.#queue.head
    if (head && head.literal !== this.#slot.literal && this.#serving?.state !== 'queued') this.#stopBlocking()
  }

  sessionLost(session: Session | undefined): void {
    this.#marks?.lost(session)
    this.#wake?.()
  }

  /** The lock is not held there any more. */
  leaves(place: Place): void {
    if (this.#alone?.place === place) this.#alone = undefined
  }

  async #run(hasYielded: boolean): Promise<void> {
    const startedAt = (this.#startedAt = monotonicNow())
    this.#detectAt = startedAt + DETECT_AFTER
    let pause = FIRST_POLL
    let polls = 0
    // Whoever has just given way lets the others poll once before it asks again.
    if (hasYielded) await this.#sleep(LONGEST_POLL)
    let isMarked = hasYielded
    while (this.#queue.head) {
      const outcome = await this.#try(isMarked, polls).catch((error: unknown) => this.#failed(error))
      if (outcome === 'won') return
      if (outcome !== 'failed') this.#slot.trouble = undefined
      if (outcome !== 'slice over') {
        await this.#sleep(pause, outcome === 'busy')
        const longest = monotonicNow() - startedAt < EARLY ? EARLY_POLL : LONGEST_POLL
        pause = Math.min(pause * 1.5, outcome === 'failed' ? LONGEST_RETRY : longest)
        polls++
      }
      // Between two looks at the mark there is a poll: a free lock must not go unnoticed.
      isMarked = outcome === 'marked'
    }
    this.#isRunning = false
    this.#dropAlone()
    void this.#marks?.give()
    this.#slot.conceded()
  }

  async #try(isMarked: boolean, polls: number): Promise<Outcome> {
    const head = (this.#serving = this.#nextClaim())
    this.#slot.literal = head.literal
    if (head.source) return this.#tryAlone(head, head.source, isMarked, polls)
    const session = isMarked || head.isTry ? undefined : this.#context.sessions.takeWaiting()
    if (session) return this.#waitOn(new DirectPlace(session))
    // The answer to the first request is still fresh, and a waiting session may be on its way.
    return polls === 0 ? 'busy' : this.#poll(isMarked || (polls === 1 && this.#context.sessions.canWait))
  }

  /** The first in the queue; another that brings its connection, while that of the first is still to come. */
  #nextClaim(): Claim {
    const head = this.#queue.head as Claim
    if (!head.next || this.#isAtHand(head) || !this.#isLate) return head
    const other = this.#bringing()
    if (!other) return head
    // It must not starve behind them.
    if (head.source) this.#openingOf(head, head.source)
    else void this.#context.sessions.shared.ready().catch(() => {})
    return other
  }

  /** A claim behind the first that brings its connection. */
  #bringing(): Claim | undefined {
    if (!this.#queue.head?.next) return undefined
    for (const claim of this.#queue) {
      if (claim !== this.#queue.head && claim.source?.isInUse && this.#isAtHand(claim)) return claim
    }
    return undefined
  }

  #isAtHand(claim: Claim): boolean {
    if (this.#opening?.claim === claim) return this.#opening.isReady
    return claim.source ? claim.source.isInUse : this.#context.sessions.shared.session !== undefined
  }

  get #taking(): Request {
    const isPolite = this.#serving?.target.isShared && monotonicNow() - this.#startedAt < POLITENESS
    return isPolite ? 'takeShared' : 'take'
  }

  async #poll(isPassing: boolean): Promise<Outcome> {
    const { shared } = this.#context.sessions
    // Without the mark the slot only waits longer; that it could not be had must not hide that the lock was.
    if (!(await this.#sharedIsOpen())) return 'slice over'
    const marking = isPassing ? undefined : this.#ownMarks.take(!this.#serving?.target.isShared)
    const taking = ask(shared, this.#taking, this.#slot.literal)
    const answer = await taking
    const { session } = shared
    await marking
    if (answer === '1') return session === shared.session ? this.#win(shared) : 'failed'
    this.#slot.isBusy()
    return 'busy'
  }

  /** Blocks on a session until the lock is granted, the slice is over, or the wait is cancelled. */
  async #waitOn(place: DirectPlace): Promise<Outcome> {
    await this.#marks?.give()
    const outcome = await this.#block(place)
    if (outcome !== 'won' && !place.source) this.#context.sessions.returnWaiting(place.session)
    return outcome
  }

  async #block(place: DirectPlace): Promise<Outcome> {
    if (!this.#queue.head) return 'slice over'
    const { sessions, settings } = this.#context
    const alone = this.#alone?.place === place ? this.#alone : undefined
    const now = monotonicNow()
    // Work that waits for its connection must have it back in time, even where waits can not be cancelled.
    const atMost = alone?.isInUse
      ? Math.min(alone.claim.deadline - now, alone.claim.signal ? ABORTABLE : Infinity)
      : Infinity
    // A connection that holds nothing is in no deadlock.
    const findsDeadlocks = alone?.mayHoldLocks === true && now >= this.#detectAt
    if (findsDeadlocks) this.#detectAt = now + DETECT_EVERY
    const wait = (this.#wait = new BlockingWait(sessions, place, settings.lease))
    const end = await wait.end(
      { literal: this.#slot.literal, mark: this.mark, atMost, findsDeadlocks },
      {
        granted: () => this.#win(place),
        deadlocked: (error) => {
          if (alone) this.#slot.leave(alone.claim, deadlockError(alone.claim, error))
        },
      },
    )
    if (end === 'granted') return 'won'
    this.#slot.isBusy()
    return end === 'marked' ? 'marked' : end === 'interrupted' ? 'busy' : 'slice over'
  }

  async #tryAlone(head: Claim, source: SessionSource, isMarked: boolean, polls: number): Promise<Outcome> {
    const { sessions } = this.#context
    const isLent = !source.isInUse || this.isOpeningFor(head)
    // A transaction that was begun for the lock ends with the slice; one that holds other locks of the call goes on, and would hold up
    // what waits for the end of old snapshots.
    const mayBlock = !isMarked && !head.isTry && (isLent || source.endTransaction === undefined)
    // Few may wait on connections that are borrowed for it: the work under the locks needs connections too.
    const hasPermit = isLent && mayBlock && sessions.takeBlockingPermit()
    try {
      const mayWait = hasPermit || (!isLent && mayBlock)
      // The answer to the first request may still be fresh.
      const isFresh = polls === 0 && this.#isKnownBusy && !isMarked
      if (isFresh && !mayWait) return 'busy'
      // Nobody borrows a connection only to see that the lock is somebody else's; nor do many at a time to see anything.
      const looksFirst = isLent && (polls > 0 ? !mayWait : sessions.work.isOpening)
      if (looksFirst) {
        const isFree = await this.#looksFree()
        if (isFree === undefined) return 'slice over'
        if (!isFree) {
          await this.#markAlone(polls)
          return 'busy'
        }
      }
      return head.state === 'queued' ? await this.#tryOn(head, source, mayWait, isFresh) : 'slice over'
    } finally {
      if (hasPermit) sessions.returnBlockingPermit()
    }
  }

  /** A mark keeps the shared session's connection: not while somebody, maybe the lock's holder, waits for one of the pool. */
  async #markAlone(polls: number): Promise<void> {
    const { work, shared } = this.#context.sessions
    if (work.hasPoolWaiters) {
      if (this.#opening?.isReady) this.#stopOpening(this.#opening)
      await this.#marks?.give()
    } else if (polls > 0 && shared.session) await this.#ownMarks.take(!this.#serving?.target.isShared)
  }

  /** Undefined when a claim that brings its connection has come while the question waited for the shared session. */
  async #looksFree(): Promise<boolean | undefined> {
    const answer = await this.#askUnlessOvertaken('isFree')
    if (answer === OVERTAKEN) return undefined
    const isFree = answer === '1'
    this.#isKnownBusy ||= !isFree
    if (!isFree) this.#slot.isBusy()
    return isFree
  }

  async #tryOn(head: Claim, source: SessionSource, mayWait: boolean, isFresh: boolean): Promise<Outcome> {
    // Nobody else can go on with a wait in a transaction of the caller.
    const mayHoldLocks = source.isInUse && !this.isOpeningFor(head)
    const isInUse = mayHoldLocks || source.endTransaction !== undefined
    let session: Session | undefined
    try {
      session = await this.#open(head, source)
    } catch (error) {
      this.#slot.leave(head, error as Error)
    }
    if (!session) return 'slice over'
    const place = new DirectPlace(session, source)
    this.#alone = { claim: head, place, isInUse, mayHoldLocks }
    let outcome: Outcome = 'busy'
    try {
      if (head.state !== 'queued') return 'slice over'
      if (!isFresh) {
        if ((await ask(place, this.#taking, this.#slot.literal)) === '1') return (outcome = this.#win(place))
        this.#isKnownBusy = true
        this.#slot.isBusy()
      }
      if (mayWait && isQueued(head)) outcome = await this.#waitOn(place)
      return outcome
    } catch (error) {
      session.lose(error) // it may have the lock
      throw error
    } finally {
      // Who only waits has no connection.
      if (outcome !== 'won') this.#dropAlone()
    }
  }

  /** The connection for that claim; undefined when the claim leaves before it has come, or another one is served meanwhile. */
  async #open(claim: Claim, source: SessionSource): Promise<Session | undefined> {
    const atOnce = this.isOpeningFor(claim) ? undefined : source.openAtOnce()
    if (atOnce) return atOnce
    // A mark keeps the shared session's connection, and the one that is waited for may be held by who waits for that.
    void this.#marks?.give()
    const opening = this.#openingOf(claim, source)
    const interrupted = new Promise<undefined>((resolve) => (opening.interrupt = () => resolve(undefined)))
    this.#misses()
    try {
      const session = await Promise.race([opening.session, interrupted])
      if (session && this.#opening === opening) this.#opening = undefined
      return session
    } catch (error) {
      if (this.#opening === opening) this.#opening = undefined
      throw error
    } finally {
      this.#comes()
    }
  }

  #openingOf(claim: Claim, source: SessionSource): Opening {
    if (this.#opening?.claim === claim) return this.#opening
    if (this.#opening) this.#stopOpening(this.#opening)
    const opening: Opening = { claim, session: source.open(), isReady: false, interrupt: () => {} }
    const ready = (): void => {
      opening.isReady = true
      this.#wake?.()
    }
    opening.session.then(ready, ready)
    return (this.#opening = opening)
  }

  /** The connection is not wanted any more: it goes back when it comes. */
  #stopOpening(opening: Opening): void {
    this.#opening = undefined
    opening.interrupt()
    const { source } = opening.claim
    opening.session.then((session) => source?.close(session)).catch(() => {})
  }

  /** Waits until the shared session is there; false when a claim that brings its connection has come first. */
  async #sharedIsOpen(): Promise<boolean> {
    const { shared } = this.#context.sessions
    if (shared.session) return true
    const withdrawn = new Promise<boolean>((resolve) => (this.#withdraw = () => resolve(false)))
    this.#misses()
    try {
      return await Promise.race([shared.ready().then(() => true), withdrawn])
    } finally {
      this.#comes()
    }
  }

  #askUnlessOvertaken(request: Request): Promise<string | undefined> {
    const { shared } = this.#context.sessions
    return new Promise((resolve, reject) => {
      const asker: Asker = {
        answered: (_request, answer, error) => {
          this.#comes()
          if (error) reject(error)
          else resolve(answer)
        },
      }
      this.#withdraw = () => {
        if (!shared.withdraw(asker)) return
        this.#comes()
        resolve(OVERTAKEN)
      }
      if (!shared.session) this.#misses()
      shared.ask(request, this.#slot.literal, asker)
    })
  }

  #dropAlone(): void {
    const place = this.#alone?.place
    this.#alone = undefined
    if (place) void place.source?.close(place.session)
  }

  #win(place: Place): Outcome {
    this.#isRunning = false
    void this.#marks?.give()
    this.#slot.won(place, this.#isKnownBusy)
    return 'won'
  }

  #failed(error: unknown): Outcome {
    const isFinal = error instanceof NamedLockConfigurationError || error instanceof NamedLockClosedError
    // Those who wait go on waiting through a restart of the server; those who have just come are told at once.
    const isNews = !this.#isKnownBusy && !(error instanceof NamedLockLostError)
    if (isFinal || isNews) this.#slot.failAll(databaseError('The lock could not be asked for', error))
    this.#slot.trouble = error
    return 'failed'
  }

  /** Sleeps about that long; woken early when the last caller leaves or, if wanted, when a waiting session is to be had. */
  #sleep(milliseconds: number, wantsSession = false): Promise<void> {
    if (!this.#queue.head) return Promise.resolve()
    const { wanting } = this.#context.sessions
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        wanting.delete(done)
        this.#wake = undefined
        resolve()
      }
      const timer = setTimeout(done, milliseconds * (0.5 + Math.random() / 2))
      this.#wake = done
      if (wantsSession) wanting.add(done)
    })
  }
}

/** A connection on its way to a claim. */
interface Opening {
  readonly claim: Claim
  readonly session: Promise<Session>
  isReady: boolean
  /** Ends the contest's wait for it, not the opening. */
  interrupt: () => void
}

/** Asked again after a wait: the claim may have left meanwhile. */
function isQueued(claim: Claim): boolean {
  return claim.state === 'queued'
}

function deadlockError(claim: Claim, cause: unknown): NamedLockDeadlockError {
  return new NamedLockDeadlockError(
    `Waiting for the lock '${claim.name}' would never end: the server says that its holder waits for a lock that this connection holds. ` +
      'Take the locks in one order everywhere.',
    { cause },
  )
}
