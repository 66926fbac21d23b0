import { databaseError } from '../contract/database-error.js'
import { NamedLockClosedError, NamedLockConfigurationError, NamedLockLostError } from '../contract/errors.js'
import { BlockingWait } from '../session/blocking-wait.js'
import { DirectPlace } from '../session/direct-place.js'
import { ask, type Place, type Request } from '../session/place.js'
import type { SessionSource } from '../session/session-source.js'
import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'
import { monotonicNow } from '../util/clock.js'
import { outside } from '../util/outside.js'
import type { ClaimQueue } from './claim-queue.js'
import type { Claim } from './claim.js'
import type { Contested } from './contested.js'
import { drain } from './draining.js'
import { Marks } from './marks.js'
import { Overtaking } from './overtaking.js'
import { OwnConnection } from './own-connection.js'
import { Pauses } from './pauses.js'
import { Slices } from './slices.js'

/** How long a reader leaves the lock to a process that polls to hold it alone, in milliseconds. */
const POLITENESS = 500

/**
 * How one try ended: `won`; `slice over`, so that the next try follows at once; `busy`, where a pause follows that ends when a waiting
 * session becomes idle; `marked`, where another process polls; `failed`, where the database could not be asked.
 */
type Outcome = 'won' | 'slice over' | 'busy' | 'marked' | 'failed'

/**
 * How a slot gets a lock that another session holds: which way to try next. One loop serves the whole slot: blocking belongs to the
 * slot, not to a caller, and goes on for as long as callers are queued.
 *
 * - **Waiting**: with a waiting session, the slot blocks in the server's own queue (`GET_LOCK(k, slice)`), slice after slice
 *   (blocking-wait.ts). The end of a slice loses the place in the server's queue: slices.ts keeps it for a whole round. When the last caller leaves, the wait is cancelled; a
 *   grant that no caller waits for any more is released at once.
 * - **Polling**: without one, the slot asks again and again on the shared session, with jitter, less often over time. The server
 *   grants a lock to sessions that block for it before any poll can see it free, so a polling slot takes a second lock,
 *   the *polling mark* of the key, while it polls. At the end of their turn, holders see the mark, release the lock and
 *   do not queue in the server again until the mark is gone or they have polled as well: that keeps polling and
 *   waiting processes from starving each other. Readers in many processes would never all be gone at one poll, so a slot that
 *   polls to hold the lock alone takes the *writers' mark* as well, and readers leave such a key alone for a while.
 * - **Patience**: for a campaign (`lead`), which may wait for days, the slot polls three to four times a second, and uses no waiting session.
 * - **A connection of the claim's own** (dedicated, transaction): the claim waits without a connection. The slot looks whether the lock
 *   is free, borrows the connection then, and tries there; it may block there while there are permits for that (own-connection.ts).
 * - **A connection that the claim brings** (lockTransaction): the slot asks and waits there, and needs no other: the pool may be full of
 *   such callers. It is served before a claim without a connection (overtaking.ts).
 */
export class Contest {
  readonly #slot: Contested
  readonly #queue: ClaimQueue
  readonly #sessions: Sessions
  readonly #own = new OwnConnection(() => this.#pauses.end())
  readonly #overtaking: Overtaking
  readonly #pauses: Pauses
  readonly #slices = new Slices()
  /** Made when the slot first polls, or lets other processes poll. */
  #marks: Marks | undefined
  /** True from `start` until the lock has come or no caller is queued any more. */
  #isRunning = false
  #startedAt = 0
  /** The server has said that the lock is held by another session. Set anew by `start`. */
  #isKnownBusy = false
  /** The claim that is being served. Set before each try, and read only during it. */
  #served: Claim | undefined
  /** The statement that blocks in the server's own queue. One that has been answered is replaced by the next. */
  #wait: BlockingWait | undefined

  constructor(slot: Contested, queue: ClaimQueue, sessions: Sessions) {
    this.#slot = slot
    this.#queue = queue
    this.#sessions = sessions
    this.#overtaking = new Overtaking(queue, sessions, this.#own)
    this.#pauses = new Pauses(sessions.waiting.sleepers)
  }

  /** The polling mark's literal. */
  get mark(): string {
    return this.#ownMarks.literal
  }

  get #ownMarks(): Marks {
    return (this.#marks ??= new Marks(this.#slot.exclusionKey, this.#sessions))
  }

  /** `isKnownBusy`: the server has said so. Otherwise an error of the first try is the callers' to know. */
  start(hasYielded: boolean, isKnownBusy: boolean): void {
    if (this.#isRunning) return
    this.#isRunning = true
    this.#isKnownBusy = isKnownBusy
    void outside(() => this.#run(hasYielded))
  }

  /** The last caller has left: an ongoing wait is of no use any more. */
  deserted(): void {
    this.#pauses.end()
    this.#wait?.cancel()
  }

  /** A claim has come that brings its connection. */
  connectionBrought(): void {
    this.#overtaking.check()
  }

  /** Whether a connection is being opened for that claim, or is there but not in use yet. */
  isOpeningFor(claim: Claim): boolean {
    return this.#own.isOpeningFor(claim)
  }

  /** That claim is not queued any more. */
  left(claim: Claim): void {
    if (this.#own.isOpeningFor(claim)) this.#own.stop()
    // The claim's work needs the connection. A connection without work can be passed on with the lock.
    if (this.#own.isWantedBackBy(claim)) this.#wait?.cancel()
    // A writer that leaves must not keep readers behind it waiting for the lock alone, nor the other way round.
    const { head } = this.#queue
    if (head && head.literal !== this.#slot.literal && this.#served?.state !== 'queued') this.#wait?.cancel()
  }

  sessionLost(session: Session): void {
    this.#marks?.lost(session)
    this.#pauses.end()
  }

  /** The lock is not held there any more. */
  leaves(place: Place): void {
    this.#own.leaves(place)
  }

  async #run(hasYielded: boolean): Promise<void> {
    this.#startedAt = monotonicNow()
    this.#pauses.restart()
    this.#own.restart()
    let polls = 0
    if (hasYielded && this.#queue.head) await this.#pauses.yieldToPollers()
    let isMarked = hasYielded
    while (this.#queue.head) {
      const outcome = await this.#try(isMarked, polls).catch((error: unknown) => this.#failed(error))
      if (outcome === 'won') return
      if (outcome !== 'failed') this.#slot.trouble = undefined
      if (outcome !== 'slice over') {
        const isPatient = this.#isPatient(this.#queue.head)
        if (this.#hasCallers) await this.#pauses.next(outcome === 'failed', outcome === 'busy' && !isPatient, isPatient)
        polls++
      }
      // Between two looks at the mark there is a poll: a free lock must not go unnoticed.
      isMarked = outcome === 'marked'
    }
    this.#isRunning = false
    this.#own.drop()
    void this.#marks?.give()
    this.#slot.conceded()
  }

  /** A wait that may last for days leaves the waiting sessions to the others, where they are connections. */
  #isPatient(claim: Claim | undefined): boolean {
    return claim?.isPatient === true && !this.#sessions.dialect.waitsForFree
  }

  get #hasCallers(): boolean {
    return this.#queue.head !== undefined
  }

  async #try(isMarked: boolean, polls: number): Promise<Outcome> {
    const claim = (this.#served = this.#overtaking.next())
    this.#slot.literal = claim.literal
    if (claim.source) return this.#tryAlone(claim, claim.source, isMarked, polls)
    const mayWait = !isMarked && !claim.isTry && canWait(claim) && !this.#isPatient(claim)
    const session = mayWait ? this.#sessions.waiting.take() : undefined
    if (session) return this.#waitOn(new DirectPlace(session), claim)
    // The answer to the first request is still fresh, and a waiting session may be on its way.
    return polls === 0
      ? 'busy'
      : this.#poll(claim, isMarked || (mayWait && polls === 1 && this.#sessions.waiting.isAllowed))
  }

  async #poll(claim: Claim, isPassing: boolean): Promise<Outcome> {
    const { shared } = this.#sessions
    if (!shared.session && !(await this.#overtaking.waitFor(claim, shared.ready()))) return 'slice over'
    const marking = isPassing ? undefined : this.#ownMarks.take(!claim.target.isShared)
    const taking = ask(shared, this.#taking(claim), literalOf(claim))
    const answer = await taking
    const { session } = shared
    // Without the mark the slot only waits longer: an error of it must not hide that the lock was granted.
    await marking
    if (answer === '1') return session === shared.session ? this.#winOrDrain(shared, claim) : 'failed'
    this.#slot.foundBusy()
    return 'busy'
  }

  #taking(claim: Claim): Request {
    const isPolite = claim.target.isShared && monotonicNow() - this.#startedAt < POLITENESS
    return isPolite ? 'takeShared' : 'take'
  }

  async #tryAlone(claim: Claim, source: SessionSource, isMarked: boolean, polls: number): Promise<Outcome> {
    const isLent = !source.isInUse || this.#own.isOpeningFor(claim)
    // A transaction that was begun for the lock ends with the slice; one that holds other locks of the call goes on, and would hold up
    // what waits for the end of old snapshots.
    const mayBlock = !isMarked && !claim.isTry && canWait(claim) && (isLent || source.endTransaction === undefined)
    // Few may wait on connections that are borrowed for it: the work under the locks needs connections too.
    const hasPermit = isLent && mayBlock && this.#sessions.waiting.takePermit()
    try {
      const mayWait = hasPermit || (!isLent && mayBlock)
      // The answer to the first request may still be fresh.
      const isFresh = polls === 0 && this.#isKnownBusy && !isMarked
      if (isFresh && !mayWait) return 'busy'
      // No connection is borrowed only to see that the lock is held elsewhere, and few at a time to see anything.
      const looksFirst = isLent && (polls > 0 ? !mayWait : this.#sessions.work.isOpening)
      if (looksFirst) {
        const isFree = await this.#overtaking.isFree(claim, literalOf(claim))
        if (isFree === undefined) return 'slice over'
        if (!isFree) {
          this.#foundBusy()
          await this.#markAlone(claim, polls)
          return 'busy'
        }
      }
      return isQueued(claim) ? await this.#tryOn(claim, source, mayWait, isFresh) : 'slice over'
    } finally {
      if (hasPermit) this.#sessions.waiting.returnPermit()
    }
  }

  #foundBusy(): void {
    this.#isKnownBusy = true
    this.#slot.foundBusy()
  }

  /** A mark keeps the shared session's connection: not while a caller, maybe the lock's holder, waits for a connection of the pool. */
  async #markAlone(claim: Claim, polls: number): Promise<void> {
    const { work, shared } = this.#sessions
    if (work.hasPoolWaiters) {
      if (this.#own.isReady) this.#own.stop()
      await this.#marks?.give()
    } else if (polls > 0 && shared.session) await this.#ownMarks.take(!claim.target.isShared)
  }

  async #tryOn(claim: Claim, source: SessionSource, mayWait: boolean, isFresh: boolean): Promise<Outcome> {
    // A wait in a transaction of the caller cannot be passed on to another claim.
    const isInUse = source.isInUse && !this.#own.isOpeningFor(claim)
    let session: Session | undefined
    try {
      session = await this.#open(claim, source)
    } catch (error) {
      this.#slot.leave(claim, error as Error)
    }
    if (!session) return 'slice over'
    const place = this.#own.use(claim, session, isInUse)
    let outcome: Outcome = 'busy'
    try {
      if (!isQueued(claim)) return 'slice over'
      if (!isFresh) {
        if ((await ask(place, this.#taking(claim), literalOf(claim))) === '1')
          return (outcome = await this.#winOrDrain(place, claim))
        this.#foundBusy()
      }
      if (mayWait && isQueued(claim)) outcome = await this.#waitOn(place, claim)
      return outcome
    } catch (error) {
      session.lose(error) // it may have the lock
      throw error
    } finally {
      if (outcome !== 'won') this.#own.drop()
    }
  }

  /** The claim's connection; undefined when the claim leaves before it has come, or another claim is to be served first. */
  async #open(claim: Claim, source: SessionSource): Promise<Session | undefined> {
    const atOnce = this.#own.isOpeningFor(claim) ? undefined : source.openAtOnce()
    if (atOnce) return atOnce
    // A mark keeps the shared session's connection, and the holder of the one that is opened here may be waiting for that.
    void this.#marks?.give()
    const opening = this.#own.begin(claim, source)
    if (!opening.isReady && !(await this.#overtaking.waitFor(claim, opening.arrival))) return undefined
    return this.#own.take(opening)
  }

  /** Blocks on a session until the lock is granted, the slice is over, or the wait is cancelled. */
  async #waitOn(place: DirectPlace, claim: Claim): Promise<Outcome> {
    await this.#marks?.give()
    const outcome = await this.#block(place, claim)
    if (outcome !== 'won' && !place.source) this.#sessions.waiting.putBack(place.session)
    return outcome
  }

  async #block(place: DirectPlace, claim: Claim): Promise<Outcome> {
    if (!this.#hasCallers) return 'slice over'
    const limits = this.#own.limitsOf(place)
    const terms = { literal: literalOf(claim), mark: this.mark, ...limits, slices: this.#slices.next }
    this.#wait = new BlockingWait(this.#sessions, place)
    const end = await this.#wait.end(terms, {
      granted: () => {
        if (!hasGate(claim)) this.#win(place)
      },
      deadlocked: (cause) => {
        const deadlock = this.#own.deadlockOn(place, cause)
        if (deadlock) this.#slot.leave(deadlock.claim, deadlock.error)
      },
      missed: (holders) => this.#slices.missed(holders),
    })
    if (end === 'granted') return hasGate(claim) ? this.#drain(place, claim) : 'won'
    this.#slot.foundBusy()
    return end === 'marked' ? 'marked' : end === 'interrupted' ? 'busy' : 'slice over'
  }

  #winOrDrain(place: Place, claim: Claim): Outcome | Promise<Outcome> {
    return hasGate(claim) ? this.#drain(place, claim) : this.#win(place)
  }

  /** A writer has the gate on `place`: it waits for the readers that are in. */
  async #drain(place: Place, claim: Claim): Promise<Outcome> {
    const { literal } = claim
    const isWanted = (): boolean => {
      const { head } = this.#queue
      return isQueued(claim) || (head?.literal === literal && head.source === claim.source)
    }
    this.#isKnownBusy = true
    const pause = (): Promise<void> => this.#pauses.next(false, false)
    try {
      const isDone = await drain(place, literal, { isWanted, pause, foundBusy: () => this.#slot.foundBusy() })
      return isDone ? this.#win(place) : 'slice over'
    } catch (error) {
      if (place !== this.#sessions.shared) place.session?.lose(error)
      throw error
    }
  }

  #win(place: Place): Outcome {
    this.#isRunning = false
    this.#slices.won()
    void this.#marks?.give()
    this.#slot.won(place, this.#isKnownBusy)
    return 'won'
  }

  /** Callers that have waited go on waiting through a restart of the server; those that have just come get its error at once. */
  #failed(error: unknown): Outcome {
    const isFinal = error instanceof NamedLockConfigurationError || error instanceof NamedLockClosedError
    const isNews = !this.#isKnownBusy && !(error instanceof NamedLockLostError)
    if (isFinal || isNews) this.#slot.failAll(databaseError('The database refused the request for the lock', error))
    this.#slot.trouble = error
    return 'failed'
  }
}

/** A reader that shares its lock by slots asks for one that is free: no statement can block for that. */
function canWait({ target }: Claim): boolean {
  return target.gate === undefined || !target.isShared
}

/** A writer where readers have slots: it gets the gate first. */
function hasGate({ target }: Claim): boolean {
  return target.gate !== undefined && !target.isShared
}

/** What is asked for: the gate, where the lock is made of several. */
function literalOf(claim: Claim): string {
  return hasGate(claim) ? (claim.target.gate as string) : claim.literal
}

/** Asked again after a wait: the claim may have left meanwhile. */
function isQueued(claim: Claim): boolean {
  return claim.state === 'queued'
}
