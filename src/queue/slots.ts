import { NamedLockConfigurationError, NamedLockError, NamedLockLostError } from '../contract/errors.js'
import type { TimeLimits } from '../util/time-limits.js'
import { outside } from '../util/outside.js'
import type { LeaseTimes } from '../session/lease.js'
import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'
import { AbortWatch } from './abort-watch.js'
import type { Claim, ClaimOwner } from './claim.js'
import { startWaiting, stopWaiting } from './deadlock.js'
import { LatelyEnded } from './lately-ended.js'
import { holdersIn, join } from './holders-in-process.js'
import { Slot } from './slot.js'
import type { RetiredSlot, SlotContext } from './slot-context.js'
import { clearTimeout, monotonicNow, setTimeout } from '../util/clock.js'

/** setTimeout's longest delay; anything longer fires at once. */
const LONGEST_TIMER = 2_147_483_647
/** A holder waits for the answer to its release for one to two times as long, in milliseconds. */
const RELEASE_PATIENCE = 1_500
/** How long a timer may outlive the waits that it was set for, in milliseconds. */
const SOON = 60_000

/**
 * All slots of the services that share them, and the one timer that ends waits whose time is up. There is one slot for each key: a
 * session owns its locks re-entrantly, so callers may only share a session where one slot decides between them.
 */
export class Slots implements SlotContext {
  readonly settings: LeaseTimes
  readonly sessions: Sessions
  readonly #dataSource: object
  /** By exclusion key; those of readers with connections of their own by ids that are no keys. */
  readonly #slots = new Map<string, Slot>()
  /** Readers with connections of their own, by exclusion key. */
  readonly #beside = new Map<string, Set<Slot>>()
  #lastId = 0
  readonly #turns = new LatelyEnded()
  readonly #aborts = new AbortWatch()
  /** Claims whose holder is being asked for. */
  readonly #checking = new WeakSet<Claim>()
  /** In the place of the timer, where callers' times go by another clock. */
  readonly #limits: TimeLimits | undefined
  #timer: NodeJS.Timeout | undefined
  #nextDeadline = Infinity
  #releaseTimer: NodeJS.Timeout | undefined
  /** Services that wait for the end of their last release, or of all slots. */
  readonly #drains = new Set<() => void>()

  constructor(settings: LeaseTimes, sessions: Sessions, dataSource: object) {
    this.settings = settings
    this.sessions = sessions
    this.#limits = sessions.dialect.timeLimits
    this.#dataSource = dataSource
    join(dataSource, this)
  }

  /** Every claim that is queued here. */
  get waiters(): readonly Claim[] {
    return [...this.#slots.values()].flatMap((slot) => slot.waiters)
  }

  /** Every claim that is held here. */
  get holders(): readonly Claim[] {
    return [...this.#slots.values()].flatMap((slot) => slot.holders)
  }

  all(): Iterable<Slot> {
    return this.#slots.values()
  }

  get size(): number {
    return this.#slots.size
  }

  get isEmpty(): boolean {
    return this.#slots.size === 0
  }

  get(key: string): Slot | undefined {
    return this.#slots.get(key)
  }

  /** The slot of a key; `exclusionKey` is the same for all keys that the server may take for one. */
  slotFor(exclusionKey: string, literal: string, owner: ClaimOwner): Slot {
    let slot = this.#slots.get(exclusionKey)
    if (!slot) {
      this.#checkRoom(owner)
      slot = new Slot(exclusionKey, literal, this)
      this.#slots.set(exclusionKey, slot)
      if (!this.#turns.isEmpty) slot.resume(this.#turns.take(exclusionKey))
    }
    return slot
  }

  /**
   * A slot for a single reader with a connection of its own. It shares its lock with readers on other connections by way of the
   * server, as readers of another process do.
   */
  slotBeside(exclusionKey: string, literal: string, owner: ClaimOwner): Slot {
    this.#checkRoom(owner)
    const slot = new Slot(exclusionKey, literal, this, `${exclusionKey}\0${++this.#lastId}`)
    this.#slots.set(slot.id, slot)
    const others = this.#beside.get(exclusionKey)
    if (others) others.add(slot)
    else this.#beside.set(exclusionKey, new Set([slot]))
    return slot
  }

  /**
   * `maxLocks` bounds the locks of one service; what the server can bear bounds those of all together. Slots are counted one by one only
   * when all of them are too many.
   */
  #checkRoom(owner: ClaimOwner): void {
    const { maxLocks } = owner.settings
    const most = maxLocks ?? this.sessions.dialect.mostLocks ?? Infinity
    if (this.#slots.size < most) return
    let count = this.#slots.size
    if (maxLocks !== undefined) {
      count = 0
      for (const slot of this.#slots.values()) if (slot.isUsedBy(owner)) count++
      if (count < most) return
    }
    throw new NamedLockConfigurationError(
      `${maxLocks === undefined ? 'The services of this DataSource hold or wait' : 'This service holds or waits'} for ${count} locks, ` +
        `the most that are allowed (maxLocks). ${this.sessions.dialect.server} may have no room for more: raise maxLocks if it has, or hold fewer locks at a time.`,
    )
  }

  /** Queues a claim. It is settled by its `settle`. */
  add(claim: Claim): void {
    claim.slot.add(claim)
    if (claim.state !== 'queued') return
    if (claim.signal?.aborted) {
      // Meanwhile: by whoever heard that it waits, or that another lock of the call was granted.
      claim.slot.leave(claim, claim.signal.reason as Error)
      return
    }
    if (claim.signal) this.#aborts.watch(claim)
    if (this.#limits) this.#limit(claim, this.#limits)
    else if (claim.deadline < this.#nextDeadline) this.#arm(claim.deadline)
  }

  /** The claim is granted or has failed: nothing watches over it any more. */
  settled(claim: Claim): void {
    if (claim.signal) this.#aborts.unwatch(claim)
    if (claim.hasWaited) stopWaiting(claim)
    this.#limits?.end(claim)
  }

  sessionLost(session: Session, error: NamedLockLostError): void {
    for (const slot of [...this.#slots.values()]) slot.sessionLost(session, error)
  }

  /** Work keeps that session's connection busy: another one asks whether the lock is still held there. Its clear no loses it at once. */
  checkOwner(session: Session): void {
    const claim = this.holders.find((one) => one.session === session)
    if (!claim || this.#checking.has(claim)) return
    this.#checking.add(claim)
    this.sessions.shared.ask('holderId', claim.literal, {
      answered: (_request, answer, error) => {
        this.#checking.delete(claim)
        const isStillHeld = error || answer === undefined || answer.split(' ').includes(session.connectionId)
        if (isStillHeld || claim.state !== 'held' || claim.session !== session) return
        session.lose(new Error('the server says that this connection does not hold the lock any more'))
      },
    })
  }

  retire(slot: RetiredSlot, turnStartedAt: number, grantedAt: number): void {
    if (slot.id !== slot.exclusionKey) this.#leftBeside(slot)
    else if (turnStartedAt > 0) this.#turns.add(slot.exclusionKey, turnStartedAt, grantedAt)
    this.#slots.delete(slot.id)
    if (this.#slots.size > 0) return
    // A timer that is due soon stays for the next caller, who would only set it again, for every uncontended lock.
    if (this.#drains.size > 0 || this.#nextDeadline > monotonicNow() + SOON) this.#disarm()
    for (const check of this.#drains) check()
  }

  #leftBeside(slot: RetiredSlot): void {
    const others = this.#beside.get(slot.exclusionKey)
    others?.delete(this.#slots.get(slot.id) as Slot)
    if (others?.size === 0) this.#beside.delete(slot.exclusionKey)
  }

  /** Resolves when no slot is in use: everything is given back, and no wait is under way. With an owner: by that service. */
  drained(owner?: ClaimOwner): Promise<void> {
    const isDrained = (): boolean => {
      if (!owner) return this.#slots.size === 0
      for (const slot of this.#slots.values()) if (slot.isUsedBy(owner)) return false
      return true
    }
    return new Promise((resolve) => {
      const check = (): void => {
        if (!isDrained()) return
        this.#drains.delete(check)
        if (this.#slots.size === 0) this.#disarm()
        resolve()
      }
      this.#drains.add(check)
      check()
    })
  }

  gaveUp(): void {
    if (this.#drains.size > 0) for (const check of this.#drains) check()
  }

  waits(claim: Claim): void {
    const cycle = startWaiting(claim)
    const { owner } = claim
    if (cycle) claim.slot.leave(claim, owner.deadlock(claim, cycle))
    else owner.listener.waiting(claim)
  }

  holdersOf(exclusionKey: string): readonly Claim[] {
    const beside = this.#beside.get(exclusionKey)
    const holders = this.#slots.get(exclusionKey)?.holders ?? []
    return beside ? [...holders, ...[...beside].flatMap((slot) => slot.holders)] : holders
  }

  holdersInProcess(exclusionKey: string): readonly Claim[] {
    return holdersIn(this.#dataSource, exclusionKey)
  }

  hasReadersBeside(exclusionKey: string): boolean {
    const beside = this.#beside.get(exclusionKey)
    return beside !== undefined && [...beside].some((slot) => slot.hasWaiters)
  }

  unanswered(claim: Claim): Error {
    return claim.owner.unanswered(claim, this.sessions.obstacle)
  }

  releaseFailed(claim: Claim, error: Error | undefined): void {
    const what = `The lock '${claim.name}' could not be given back`
    claim.owner.listener.releaseFailed(
      claim,
      error
        ? new NamedLockError(`${what}: ${error.message}`, { cause: error })
        : new NamedLockLostError(`${what}: the server says it was not held any more.`),
    )
  }

  isWorthRetrying(error: Error | undefined): boolean {
    return error instanceof NamedLockLostError
  }

  #limit(claim: Claim, limits: TimeLimits): void {
    if (claim.isTry) return // what keeps such a caller waiting is a server
    const { startedAt, deadline } = claim
    limits.begin(claim, deadline - startedAt, monotonicNow() - startedAt, () => claim.slot.leave(claim, 'timeout'))
  }

  #arm(deadline: number): void {
    this.#nextDeadline = deadline
    clearTimeout(this.#timer)
    const delay = Math.min(Math.max(0, Math.ceil(deadline - monotonicNow())), LONGEST_TIMER)
    this.#timer = outside(() => setTimeout(() => this.#expire(), delay))
    // Whoever waits has a connection or a timer of its own that keeps the process alive.
    this.#timer.unref()
  }

  /** One timer for all releases: none of them pays for its own. */
  releasing(): void {
    if (this.#releaseTimer) return
    this.#releaseTimer = outside(() => setTimeout(() => this.#checkReleases(), RELEASE_PATIENCE))
    this.#releaseTimer.unref()
  }

  #checkReleases(): void {
    this.#releaseTimer = undefined
    let isAnyUnanswered = false
    for (const slot of this.#slots.values()) if (slot.checkRelease()) isAnyUnanswered = true
    if (isAnyUnanswered) this.releasing()
  }

  #disarm(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#releaseTimer)
    this.#timer = this.#releaseTimer = undefined
    this.#nextDeadline = Infinity
  }

  /** Timers may fire a millisecond early: what is not due yet stays, and the timer is set again. */
  #expire(): void {
    const now = monotonicNow()
    let next = Infinity
    for (const slot of [...this.#slots.values()]) if (slot.hasWaiters) next = Math.min(next, slot.expire(now))
    this.#nextDeadline = Infinity
    if (next < Infinity) this.#arm(next)
  }
}
