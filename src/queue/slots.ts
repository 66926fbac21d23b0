import { NamedLockConfigurationError, type NamedLockLostError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import type { PermitTargets } from '../names/permit-targets.js'
import type { Target } from '../names/targets.js'
import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'
import { AbortWatch } from './abort-watch.js'
import type { Claim, ClaimOwner } from './claim.js'
import { stopWaiting } from './deadlock.js'
import { Deadlines } from './deadlines.js'
import { holdersIn, join } from './holders-in-process.js'
import { Permits, type PermitsHost } from './permits.js'
import type { Permit } from './permit.js'
import { ReleaseWatch } from './release-watch.js'
import { Slot, type SlotHost } from './slot.js'
import { Turn, Turns } from './turn.js'

/** One lock of this process, for lists and notes. */
export interface SlotView {
  readonly holder: Claim | undefined
  readonly holders: readonly Claim[]
  readonly head: Claim | undefined
  readonly hasWaiters: boolean
  readonly waiters: readonly Claim[]
  isUsedBy(owner: ClaimOwner): boolean
}

/**
 * All slots of the services that share them, and what ends the waits of their callers: the deadlines, and the callers' signals. There is
 * one slot for each key: a session owns its locks re-entrantly, so callers may only share a session where one slot decides between them.
 */
export class Slots implements SlotHost, PermitsHost {
  readonly sessions: Sessions
  readonly #dataSource: object
  /** By exclusion key; those of readers with connections of their own by ids that are no keys. */
  readonly #slots = new Map<string, Slot>()
  /** The semaphores, by the exclusion key that all permits of a name have. */
  readonly #semaphores = new Map<string, Permits>()
  /** The permits that this process has, by key. */
  readonly #permits = new Map<string, Permit>()
  /** Readers with connections of their own, by exclusion key. */
  readonly #beside = new Map<string, Set<Slot>>()
  /** Written by `slotBeside`: makes its ids unique. */
  #lastId = 0
  readonly #turns = new Turns()
  readonly #aborts = new AbortWatch()
  readonly #deadlines: Deadlines
  readonly #releases = new ReleaseWatch(() => this.#everything)
  /** Held claims for which `checkOwner` is asking the server. */
  readonly #checking = new WeakSet<Claim>()
  /** Services that wait for the end of their last release, or of all slots. */
  readonly #drains = new Set<() => void>()

  constructor(sessions: Sessions, dataSource: object) {
    this.sessions = sessions
    this.#dataSource = dataSource
    this.#deadlines = new Deadlines(() => this.waiters, sessions)
    join(dataSource, this)
  }

  /** Every claim that is queued here. */
  get waiters(): readonly Claim[] {
    return [...this.#everything].flatMap((slot) => (slot.head ? slot.waiters : []))
  }

  /** Every claim that is held here. */
  get holders(): readonly Claim[] {
    return [...this.#everything].flatMap((slot) => slot.holders)
  }

  /** One for each lock. */
  get all(): Iterable<SlotView> {
    return this.#permits.size === 0 ? this.#slots.values() : [...this.#slots.values(), ...this.#permits.values()]
  }

  /** The semaphores that callers use. */
  get semaphores(): Iterable<Permits> {
    return this.#semaphores.values()
  }

  get isEmpty(): boolean {
    return this.#slots.size === 0 && this.#semaphores.size === 0
  }

  get(key: string): SlotView | undefined {
    return this.#slots.get(key) ?? this.#permits.get(key)
  }

  get #everything(): Iterable<Slot | Permits> {
    return this.#semaphores.size === 0 ? this.#slots.values() : [...this.#slots.values(), ...this.#semaphores.values()]
  }

  /** The slot of a key; `exclusionKey` is the same for all keys that the server may take for one. */
  slotFor(exclusionKey: string, literal: string, owner: ClaimOwner): Slot {
    let slot = this.#slots.get(exclusionKey)
    if (!slot) {
      this.#checkRoom(owner)
      if (this.#permits.has(exclusionKey)) throw isPermit(exclusionKey)
      slot = new Slot(exclusionKey, literal, this, this.#turns.of(exclusionKey))
      this.#slots.set(exclusionKey, slot)
    }
    return slot
  }

  /** The semaphore of a name. */
  permitsFor({ exclusionKey, permits: targets }: Target, owner: ClaimOwner): Permits {
    this.#checkRoom(owner)
    let permits = this.#semaphores.get(exclusionKey)
    if (!permits) {
      permits = new Permits(exclusionKey, targets as PermitTargets, this, this.#turns.of(exclusionKey))
      this.#semaphores.set(exclusionKey, permits)
    }
    return permits
  }

  /**
   * A slot for a single reader with a connection of its own. It shares its lock with readers on other connections by way of the
   * server, as readers of another process do.
   */
  slotBeside(exclusionKey: string, literal: string, owner: ClaimOwner): Slot {
    this.#checkRoom(owner)
    const slot = new Slot(exclusionKey, literal, this, new Turn(), `${exclusionKey}\0${++this.#lastId}`)
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
    // A semaphore that waits for its first permit is counted with it.
    let count = this.#slots.size + this.#permits.size
    if (count < most) return
    if (maxLocks !== undefined) {
      count = 0
      for (const lock of this.all) if (lock.isUsedBy(owner)) count++
      if (count < most) return
    }
    throw new NamedLockConfigurationError(
      because(
        'max-locks',
        `${maxLocks === undefined ? 'The services of this DataSource hold or wait' : 'This service holds or waits'} for ${count} locks, ` +
          `the most that are allowed (maxLocks). Raise maxLocks if ${this.sessions.dialect.server} has room for more, or hold fewer locks at a time.`,
      ),
    )
  }

  /** Queues a claim. It is settled by its `settle`. */
  add(claim: Claim): void {
    claim.slot.add(claim)
    if (claim.state !== 'queued') return
    if (claim.signal?.aborted) {
      // An event listener, or the caller of another lock that was granted, may have aborted the signal just now.
      claim.slot.leave(claim, claim.signal.reason as Error)
      return
    }
    if (claim.signal) this.#aborts.watch(claim)
    this.#deadlines.watch(claim)
  }

  /** The claim is granted or has failed: its deadline and its signal do not matter any more. */
  settled(claim: Claim): void {
    if (claim.signal) this.#aborts.unwatch(claim)
    if (claim.hasWaited) stopWaiting(claim)
    this.#deadlines.unwatch(claim)
  }

  sessionLost(session: Session, error: NamedLockLostError): void {
    for (const slot of [...this.#everything]) slot.sessionLost(session, error)
  }

  /** Work keeps that session's connection busy: another one asks whether the lock is still held there. A clear no loses it at once. */
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

  retire(slot: Slot): void {
    if (slot.id === slot.exclusionKey) this.#turns.leave(slot.exclusionKey, slot.turn)
    else this.#leftBeside(slot)
    this.#slots.delete(slot.id)
    if (this.#slots.size === 0) this.#rest()
  }

  retirePermits(permits: Permits): void {
    if (this.#semaphores.get(permits.id) !== permits) return
    this.#turns.leave(permits.id, permits.turn)
    this.#semaphores.delete(permits.id)
    this.#rest()
  }

  permitTaken(permit: Permit): void {
    this.#permits.set(permit.target.key, permit)
  }

  permitGone(permit: Permit): void {
    if (this.#permits.get(permit.target.key) === permit) this.#permits.delete(permit.target.key)
  }

  isUsedAsName(key: string): boolean {
    return this.#slots.has(key)
  }

  #rest(): void {
    if (!this.isEmpty) return
    if (this.#drains.size > 0) this.#stopTimers()
    else this.#deadlines.rest()
    for (const check of this.#drains) check()
  }

  #leftBeside(slot: Slot): void {
    const others = this.#beside.get(slot.exclusionKey)
    others?.delete(slot)
    if (others?.size === 0) this.#beside.delete(slot.exclusionKey)
  }

  /** Resolves when no slot is in use: every lock is released, and no wait is under way. With an owner: by that service. */
  drained(owner?: ClaimOwner): Promise<void> {
    const isDrained = (): boolean => {
      if (!owner) return this.isEmpty
      for (const slot of this.#everything) if (slot.isUsedBy(owner)) return false
      return true
    }
    return new Promise((resolve) => {
      const check = (): void => {
        if (!isDrained()) return
        this.#drains.delete(check)
        if (this.isEmpty) this.#stopTimers()
        resolve()
      }
      this.#drains.add(check)
      check()
    })
  }

  #stopTimers(): void {
    this.#deadlines.stop()
    this.#releases.stop()
  }

  releasing(): void {
    this.#releases.begin()
  }

  released(): void {
    if (this.#drains.size > 0) for (const check of this.#drains) check()
  }

  /** The claims of these services that hold the key: that of a lock, of one permit, or of all permits of a name. */
  holdersOf(exclusionKey: string): readonly Claim[] {
    const beside = this.#beside.get(exclusionKey)
    const holders = (this.get(exclusionKey) ?? this.#semaphores.get(exclusionKey))?.holders ?? []
    return beside ? [...holders, ...[...beside].flatMap((slot) => slot.holders)] : holders
  }

  holdersInProcess(exclusionKey: string): readonly Claim[] {
    return holdersIn(this.#dataSource, exclusionKey)
  }

  hasReadersBeside(exclusionKey: string): boolean {
    const beside = this.#beside.get(exclusionKey)
    return beside !== undefined && [...beside].some((slot) => slot.hasWaiters)
  }
}

/** A session owns its locks re-entrantly: what it holds as a permit, it must not be asked for as a name. */
function isPermit(key: string): Error {
  return new NamedLockConfigurationError(
    `The exact name '${key}' is the key of a permit that this process holds. Use another name, or the option permits.`,
  )
}
