import type { DataSourceLike } from '../data-source-like.js'
import type { Ask, Dialect, PoolWatch } from '../dialect/dialect.js'
import type { Finding } from '../options.js'
import {
  NamedLockClosedError,
  NamedLockConfigurationError,
  NamedLockError,
  type NamedLockLostError,
} from '../errors.js'
import type { Settings } from '../settings.js'
import { singleValue, type RawConnection, type RunnerLike } from './connection.js'
import { BegunTransactions } from './begun-transactions.js'
import { databaseError } from './database-error.js'
import { FencingTable } from './fencing-table.js'
import { outside } from './outside.js'
import { OwnConnections } from './own-connections.js'
import { Questions } from './questions.js'
import { queryWithin, SilentConnectionError } from './query-within.js'
import type { Session } from './session.js'
import { SessionOpener, type Kind } from './session-opener.js'
import { SharedPlace, type Shared } from './shared-place.js'
import { Witness } from './witness.js'
import { WorkSessions } from './work-sessions.js'
import { within } from '../within.js'
import { clearInterval, monotonicNow, setInterval } from '../util/clock.js'

/** How often idle sessions are looked for. */
const LOOK_AFTER = 250
/** How long a session stays without use before it goes back to the pool. */
const IDLE_WAITING = 1_000
const IDLE_SHARED = 5_000
/** How long the server may take for the farewell of all sessions. */
const PATIENCE = 2_000
/**
 * All connections of a service: the shared session, the waiting sessions, and those that a single lock has for itself.
 *
 * `maxSessions` bounds the shared one and the waiting ones together, and never more than half of the pool is borrowed:
 * the work under the locks needs connections too. Idle sessions go back after a while, and at once when somebody has to
 * wait for a connection of the pool.
 */
export class Sessions {
  readonly shared: Shared
  /** Those that a transaction or a dedicated lock works on. */
  readonly work: WorkSessions
  /** Those of locks that end with their transaction. */
  readonly begun: BegunTransactions
  /** Where fencing tokens come from, if not from the server's own numbers. */
  readonly fencing: FencingTable | undefined
  /** Who sleeps for lack of a waiting session, longest first: one is called when a session becomes idle. */
  readonly wanting = new Set<() => void>()

  readonly #dataSource: DataSourceLike
  readonly #timeout: number
  readonly #own: OwnConnections | undefined
  readonly #onLost: (session: Session, error: NamedLockLostError) => void
  /** Told while work keeps a session's connection busy for long: nothing can be heard of it then. */
  onSilence: ((session: Session) => void) | undefined
  readonly #mostWaiting: number
  readonly #open = new Map<Session, Kind>()
  readonly #idle: Session[] = []
  readonly #opener: SessionOpener
  readonly #witness: Witness
  #openingWaiting = false
  #blockingPermits = 0
  #closed = false
  #lookAfter: NodeJS.Timeout | undefined
  #pool: PoolWatch | undefined

  constructor(
    dataSource: DataSourceLike,
    settings: Settings,
    dialect: Dialect,
    onLost: (session: Session, error: NamedLockLostError) => void,
  ) {
    this.#dataSource = dataSource
    this.#timeout = settings.timeout
    this.#onLost = onLost
    this.fencing = settings.fencing && new FencingTable(settings.fencing.table, settings.timeout, this)
    let most = settings.maxSessions
    const poolSize = dialect.pool.size(dataSource)
    if (settings.connections === 'own') {
      this.#own = new OwnConnections(dataSource, dialect.pool, most + 2)
    } else {
      if (poolSize < 2) {
        throw new NamedLockConfigurationError(
          `The DataSource's pool has ${poolSize} connection: the locks would take it, and no work could be done under them. ` +
            "Set poolSize to at least 2 (better 10), or use connections: 'own' to give the locks connections beside the pool.",
        )
      }
      most = Math.min(most, Math.floor(poolSize / 2))
    }
    this.#mostWaiting = most - 1
    this.#opener = new SessionOpener(dataSource, settings, dialect, this.#own, {
      closedError: () => this.#closedError,
      open: () => this.#open.keys(),
      opened: (session, kind) => this.#opened(session, kind),
    })
    this.work = new WorkSessions({
      // What is left: one for the shared session where it is borrowed too, and one for the application.
      limit: Math.max(1, poolSize - (this.#own ? 1 : 2)),
      poolSize,
      hasPoolWaiters: () => this.#pool?.hasWaiters ?? false,
      open: () => outside(() => this.#opener.open('work')),
      giveBack: (session) => this.#giveBack(session),
    })
    this.begun = new BegunTransactions({
      dataSource,
      limit: poolSize - 1,
      connect: () => this.#opener.connect(this.#dataSource),
      prepare: (runner, connection) => this.#opener.prepare(runner, connection, 'begun'),
      destroy: (connection) => this.#opener.dialect.destroy(connection),
      isAnswer: (error) => this.#opener.dialect.isAnswer(error),
    })
    this.shared = dialect.endsWithTransaction
      ? new Questions(
          (work) => this.inspect(work),
          () => this.#opener.dialect,
        )
      : new SharedPlace(
          () => outside(() => this.#opener.open('shared')),
          () => this.#opener.dialect,
        )
    this.#witness = new Witness(dataSource, settings.lease - settings.keepAlive, () => this.#opener.dialect, {
      shared: this.shared,
      inspect: (work) => this.inspect(work),
    })
  }

  /** The server's dialect; a guess by the driver's type until the first session is open. */
  get dialect(): Dialect {
    return this.#opener.dialect
  }

  /** The dialect, when it is known for certain. */
  async sureDialect(): Promise<Dialect> {
    if (!this.#opener.isDialectSure) await this.shared.ready()
    return this.#opener.dialect
  }

  /** What keeps the lock service waiting, where it is not another lock's holder; for error messages. */
  get obstacle(): string | undefined {
    if (!this.shared.isOpening) return undefined
    if (this.#opener.trouble) return `no connection to the database could be had (${this.#opener.trouble.message})`
    return this.#own
      ? 'no connection to the database could be opened in that time'
      : `no connection came free in the DataSource's pool of ${this.#opener.dialect.pool.size(this.#dataSource)} in that time`
  }

  /**
   * A session that may block, if there is an idle one. Else undefined, and one is being opened for next time unless the
   * limit is reached.
   */
  takeWaiting(): Session | undefined {
    const session = this.#idle.pop()
    if (session) return session
    const isAllowed = this.#waiting < this.#mostWaiting && !this.#closed
    if (!this.#openingWaiting && isAllowed) this.#openWaiting()
    return undefined
  }

  /** Whether this service may have waiting sessions at all. */
  get canWait(): boolean {
    return this.#mostWaiting > 0
  }

  /** Back from a wait; it must hold nothing. */
  returnWaiting(session: Session): void {
    if (session.lostError) return
    session.lastUsed = monotonicNow()
    if (this.#closed) {
      void this.#giveBack(session)
      return
    }
    if (this.#pool?.hasWaiters) {
      void this.#giveBack(session)
      return
    }
    this.#idle.push(session)
    const [wake] = this.wanting
    wake?.()
  }

  /** Whether another caller may block on a connection that is its own: as many as there may be waiting sessions. */
  takeBlockingPermit(): boolean {
    if (this.#blockingPermits >= this.#mostWaiting) return false
    this.#blockingPermits++
    return true
  }

  returnBlockingPermit(): void {
    this.#blockingPermits--
  }

  /** A session on a connection that the application works on and keeps; `giveBack` only restores its settings. */
  async adopt(runner: Pick<RunnerLike, 'connect'>): Promise<Session> {
    if (this.#closedError) throw this.#closedError
    const connection = await runner.connect()
    const stays = { connect: () => Promise.resolve(connection), release: () => Promise.resolve() }
    return outside(() => this.#opener.prepare(stays, connection, 'adopted')).catch((error: unknown) => {
      throw databaseError("The transaction's connection could not be prepared for locks", error)
    })
  }

  /** @param isRestored Nothing is left to restore on it. */
  giveBack(session: Session, isRestored?: boolean): Promise<void> {
    return this.#giveBack(session, isRestored)
  }

  /** Whether that connection is one of this service's. */
  isOwn(connectionId: string): boolean {
    for (const session of this.#open.keys()) if (session.connectionId === connectionId) return true
    return false
  }

  /** Ends the wait of `session` on the server, unless it ends before; resolves when the cancel has been answered. */
  async cancel(session: Session, ended: Promise<void>): Promise<void> {
    if (this.#opener.dialect.endsWithTransaction) return this.#cancelFromPool(session, ended)
    let isOver = false
    void ended.then(() => (isOver = true))
    // A session to cancel from may take longer to get than the wait lasts: then there is nothing to cancel any more.
    await Promise.race([this.shared.ready(), ended])
    if (!isOver) await this.#cancelFromShared(session)
  }

  /** What can not be had in time is left: the wait has a time limit of its own. */
  async #cancelFromPool(session: Session, ended: Promise<void>): Promise<void> {
    let isOver = false
    let isSent = false
    void ended.then(() => (isOver = true))
    const cancelling = this.inspect(async (ask) => {
      if (isOver || session.lostError) return
      isSent = true
      await ask(this.#opener.dialect.cancel(session.connectionId))
    })
    await Promise.race([cancelling.catch(() => {}), ended])
    // Whatever went out must have arrived before anything else is sent on that connection.
    if (isSent) await cancelling
  }

  async #cancelFromShared(session: Session): Promise<void> {
    const shared = this.shared.session
    if (!shared || session.lostError) return
    // Connection ids begin again when a server restarts: the id must still mean that session.
    if (shared.facts.identity !== session.facts.identity) return
    if (Math.abs(shared.facts.startedAt - session.facts.startedAt) > 3) return
    await shared.ask(this.#opener.dialect.cancel(session.connectionId))
  }

  /**
   * A fencing token from a connection beside the lock's, committed there. The caller must make sure afterwards that the lock is
   * still held: then it was held while the token was made.
   */
  async freshToken(): Promise<bigint> {
    const sql = this.#opener.dialect.freshToken as string
    const shared = this.shared.session
    if (shared && !shared.lostError) return BigInt(singleValue(await shared.ask(sql)) as string)
    const taken = this.inspect(async (ask) => BigInt(singleValue(await ask(sql)) as string))
    return within(taken, this.#timeout, undefined, () => {
      return new NamedLockError(
        `No fencing token within ${this.#timeout} ms: before PostgreSQL 17, a token inside a transaction needs one more connection, ` +
          'and none came free. Take the token before the transaction begins, or raise poolSize.',
      )
    })
  }

  /** Runs statements of an inspection on a connection of its own: they may be slow, and the shared session must not be. */
  inspect<T>(work: (ask: Ask, connection: RawConnection) => Promise<T>): Promise<T> {
    return outside(async () => {
      const idle = this.#idle.pop()
      if (idle) {
        try {
          return await work((sql) => idle.ask(sql), idle.connection)
        } finally {
          this.returnWaiting(idle)
        }
      }
      const [runner, connection] = await this.#opener.connect(await this.#opener.source)
      try {
        return await work(
          (sql) => queryWithin(this.#opener.dialect.wire(connection), sql, this.#opener.mostPatience),
          connection,
        )
      } catch (error) {
        if (error instanceof SilentConnectionError) this.#opener.dialect.destroy(connection)
        throw error
      } finally {
        await runner.release()
      }
    })
  }

  /** What about the DataSource's own options is worth telling. */
  checkPool(): Finding[] {
    return this.#opener.dialect.pool.check?.(this.#dataSource) ?? []
  }

  get isDialectSure(): boolean {
    return this.#opener.isDialectSure
  }

  /** Every session goes back if all of them are known to hold nothing; else, and in a silent network, they are ended. */
  async close(isClean: boolean): Promise<void> {
    this.#closed = true
    const sessions = [...this.#open]
    if (isClean) await within(this.#giveAllBack(), PATIENCE, undefined, unanswered).catch(() => {})
    for (const [session, kind] of sessions) {
      if (!isClean || kind !== 'adopted') session.lose(new Error('the lock service was closed'))
    }
    this.shared.drop()
    this.#idle.length = 0
    this.#stopLookingAfter()
    await this.#own?.close()
  }

  async #giveAllBack(): Promise<void> {
    await this.shared.settled()
    // A transaction of the application gives its session back itself: locks of another service may be held on it.
    const ours = [...this.#open].filter(([, kind]) => kind !== 'adopted')
    await Promise.all(ours.map(([session]) => this.#giveBack(session)))
  }

  #openWaiting(): void {
    this.#openingWaiting = true
    outside(() => this.#opener.open('waiting')).then(
      (session) => {
        this.#openingWaiting = false
        this.returnWaiting(session)
      },
      () => {
        // Whoever waits polls meanwhile and asks again; the shared session tells callers what is wrong.
        this.#openingWaiting = false
      },
    )
  }

  #opened(session: Session, kind: Kind): void {
    this.#open.set(session, kind)
    session.onLost = (error) => {
      this.#forget(session)
      this.#onLost(session, error)
    }
    session.onSilence = () => {
      this.#witness.ask(session)
      this.onSilence?.(session)
    }
    this.#startLookingAfter()
  }

  get #closedError(): Error | undefined {
    return this.#closed ? new NamedLockClosedError('The lock service was closed.') : undefined
  }

  #forget(session: Session): void {
    this.#open.delete(session)
    this.work.gone(session)
    this.begun.gone(session)
    if (this.shared.session === session) this.shared.drop()
    const place = this.#idle.indexOf(session)
    if (place >= 0) this.#idle.splice(place, 1)
    // Own connections end with the application's, whether or not a session is open then.
    if (this.#open.size === 0 && !this.#own?.isOpen) this.#stopLookingAfter()
  }

  async #giveBack(session: Session, isRestored?: boolean): Promise<void> {
    this.#forget(session)
    await session.giveBack(isRestored)
  }

  get #waiting(): number {
    let count = this.#openingWaiting ? 1 : 0
    for (const kind of this.#open.values()) if (kind === 'waiting') count++
    return count
  }

  #startLookingAfter(): void {
    if (this.#lookAfter) return
    outside(() => {
      this.#lookAfter = setInterval(() => this.#returnIdleInTime(), LOOK_AFTER)
      this.#lookAfter.unref()
      this.#pool = this.#opener.dialect.pool.watch(this.#dataSource, () => this.#returnIdle(0, 0))
    })
  }

  #stopLookingAfter(): void {
    clearInterval(this.#lookAfter)
    this.#lookAfter = undefined
    this.#pool?.stop()
    this.#pool = undefined
  }

  /** Who waits for a connection of the pool now may have come when a session was just busy. */
  #returnIdleInTime(): void {
    if (this.#pool?.hasWaiters) this.#returnIdle(0, 0)
    else this.#returnIdle(IDLE_WAITING, IDLE_SHARED)
  }

  #returnIdle(waitingFor: number, sharedFor: number): void {
    if (this.#pool?.isClosing) {
      // Own connections end with the application's.
      void this.#own?.close()
      for (const session of [...this.#open.keys()]) session.lose(new Error('the DataSource was destroyed'))
      this.#stopLookingAfter()
      return
    }
    this.work.returnIdle(waitingFor === 0)
    const now = monotonicNow()
    for (const session of this.#idle.filter((idle) => now - idle.lastUsed >= waitingFor)) void this.#giveBack(session)
    const shared = this.shared.session
    if (shared && this.shared.isIdle && !shared.isBusy && now - shared.lastUsed >= sharedFor)
      void this.#giveBack(shared)
  }
}

const unanswered = (): Error => new Error('the server did not answer')
