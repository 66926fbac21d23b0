import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { Dialect } from '../dialect/dialect.js'
import type { PoolWatch } from '../dialect/pool-driver.js'
import type { Ask } from '../typeorm/raw-connection.js'
import type { Finding } from '../contract/lock-info.js'
import { NamedLockClosedError, NamedLockError, type NamedLockLostError } from '../contract/errors.js'
import { singleValue, type RawConnection, type RunnerLike } from '../typeorm/raw-connection.js'
import { BegunTransactions } from './begun-transactions.js'
import { databaseError } from '../contract/database-error.js'
import { besideThePool, type ConnectionBeside, type PatienceBeside } from './connections-beside.js'
import type { BoundMember, JointBounds, Spare } from './joint-bounds.js'
import { outside } from '../util/outside.js'
import { OwnConnections } from './own-data-source.js'
import { Questions } from './borrowing-place.js'
import { queryWithin, SilentConnectionError } from './query-within.js'
import type { Session, SessionsListener } from './session.js'
import { OpenSessions, type SessionKind } from './open-sessions.js'
import { SessionOpener, type SessionOwner } from './session-opener.js'
import type { SessionSettings } from './session-settings.js'
import { SharedPlace, type Shared } from './shared-place.js'
import { WaitingSessions } from './waiting-sessions.js'
import { Witness } from './witness.js'
import { WorkSessions } from './work-sessions.js'
import { within } from '../util/within.js'
import { clearInterval, monotonicNow, setInterval } from '../util/clock.js'

/** How often idle sessions are returned, in milliseconds. */
const LOOK_AFTER = 250
/** How long a session stays without use before it returns to the pool, in milliseconds. */
const IDLE_WAITING = 1_000
const IDLE_SHARED = 5_000
/** How long the server may take to answer when all sessions are returned, in milliseconds. */
const FAREWELL_PATIENCE = 2_000

/**
 * All connections of the services that share them: the shared session, the waiting sessions, and those that a single lock has for
 * itself.
 *
 * How many there may be is decided together with all other sessions of the DataSource: see joint-bounds.ts. Idle sessions
 * return to the pool after a while, and at once when a caller has to wait for a connection of the pool.
 */
export class Sessions implements BoundMember, SessionOwner {
  readonly open = new OpenSessions()
  /** The one session for the locks of all callers. */
  readonly shared: Shared
  /** Those that may block in the server's queue. */
  readonly waiting: WaitingSessions
  /** Those that a transaction or a dedicated lock works on. */
  readonly work: WorkSessions
  /** Those of locks that end with their transaction. */
  readonly begun: BegunTransactions

  readonly #dataSource: DataSourceLike
  readonly #own: OwnConnections | undefined
  readonly #settings: SessionSettings
  readonly #listener: SessionsListener
  readonly #bounds: JointBounds
  readonly #opener: SessionOpener
  readonly #witness: Witness
  #isClosed = false
  #lookAfter: NodeJS.Timeout | undefined
  #pool: PoolWatch | undefined

  constructor(
    dataSource: DataSourceLike,
    settings: SessionSettings,
    dialect: Dialect,
    bounds: JointBounds,
    listener: SessionsListener,
  ) {
    this.#dataSource = dataSource
    this.#settings = settings
    this.#bounds = bounds
    this.#listener = listener
    // Beside the sessions: an inspection, and the end of a wait.
    if (this.isOwn) this.#own = new OwnConnections(dataSource, dialect.pool, () => bounds.mostOrdinary(this) + 2)
    this.#opener = new SessionOpener(dataSource, settings, dialect, this.#own, this)
    const { open } = this
    const hasPoolWaiters = (): boolean => this.#pool?.hasWaiters ?? false
    this.work = new WorkSessions({
      sessions: open,
      places: bounds.work,
      poolSize: bounds.poolSize,
      hasPoolWaiters,
      open: () => outside(() => this.#opener.open('work')),
    })
    this.begun = new BegunTransactions({
      sessions: open,
      dataSource,
      places: bounds.work,
      connect: () => {
        this.checkRoomFor('begun')
        return this.#opener.connect(this.#dataSource)
      },
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
    open.whenGone((session) => {
      if (this.shared.session === session) this.shared.drop()
    })
    this.waiting = new WaitingSessions({
      sessions: open,
      bounds,
      member: this,
      hasPoolWaiters,
      open: () => this.#opener.open('waiting'),
    })
    open.whenGone(() => {
      // Own connections end with the application's, whether or not a session is open then.
      if (open.isEmpty && !this.#own?.isOpen) this.#stopLookingAfter()
    })
    this.#witness = new Witness(dataSource, settings.lease - settings.keepAlive, () => this.#opener.dialect, {
      shared: this.shared,
      inspect: (work) => this.inspect(work),
    })
    bounds.join(this)
  }

  /** How long the server keeps a session's locks without a sign of life, in milliseconds. */
  get lease(): number {
    return this.#settings.lease
  }

  get isOwn(): boolean {
    return this.#settings.connections === 'own'
  }

  /** Behind a pooler that pools transactions no session outlives a transaction. */
  get hasSharedSession(): boolean {
    return this.#settings.pooling === 'session'
  }

  /** The server's dialect; a guess by the driver's type until the first session is open. */
  get dialect(): Dialect {
    return this.#opener.dialect
  }

  /** The literals of the locks by which a key's pollers are seen; `writers` only where there are reader locks. */
  marksOf(exclusionKey: string): { readonly polling: string; readonly writers: string | undefined } {
    const { dialect } = this.#opener
    return { polling: dialect.markLiteral(exclusionKey), writers: dialect.writersMark?.(exclusionKey) }
  }

  /** The polling mark that stands for what is no key itself. */
  markOf(text: string): string {
    return this.#opener.dialect.markLiteral(text)
  }

  /** The dialect, when it is known for certain. */
  async sureDialect(): Promise<Dialect> {
    if (!this.#opener.isDialectSure) await this.shared.ready()
    return this.#opener.dialect
  }

  /** What keeps the lock service waiting, where it is not another lock's holder; for error messages. */
  get obstacle(): string | undefined {
    if (!this.shared.isOpeningLate) return undefined
    if (this.#opener.trouble) return `no connection to the database could be opened (${this.#opener.trouble.message})`
    return this.#own
      ? 'no connection to the database could be opened in that time'
      : `no connection came free in the DataSource's pool of ${this.#opener.dialect.pool.size(this.#dataSource)} in that time`
  }

  /** The session of migrations and their lock. Where the pool has one connection, it is that one. */
  openForMigrations(): Promise<Session> {
    return outside(() => this.#opener.open('migrations'))
  }

  /** @throws NamedLockConfigurationError for all but migrations where the pool has one connection. */
  checkRoomFor(kind: SessionKind): void {
    if (kind !== 'migrations' && !this.isOwn) this.#bounds.checkSize()
  }

  /** A session on a connection that the application works on and keeps; `giveBack` only restores its settings. */
  async adopt(runner: Pick<RunnerLike, 'connect'>): Promise<Session> {
    if (this.closedError) throw this.closedError
    this.checkRoomFor('adopted')
    const connection = await runner.connect()
    const stays = { connect: () => Promise.resolve(connection), release: () => Promise.resolve() }
    return outside(() => this.#opener.prepare(stays, connection, 'adopted')).catch((error: unknown) => {
      throw databaseError("The transaction's connection could not be prepared for locks", error)
    })
  }

  /**
   * A fencing token from a connection beside the lock's, committed there. The caller must make sure afterwards that the lock is
   * still held: then it was held while the token was made.
   */
  async freshToken(timeout: number): Promise<bigint> {
    const sql = this.#opener.dialect.freshToken as string
    const shared = this.shared.session
    if (shared && !shared.lostError) return BigInt(singleValue(await shared.ask(sql)) as string)
    const taken = this.inspect(async (ask) => BigInt(singleValue(await ask(sql)) as string))
    return within(taken, timeout, undefined, () => {
      return new NamedLockError(
        `No fencing token within ${timeout} ms: before PostgreSQL 17, a token inside a transaction needs one more connection, ` +
          'and none came free. Take the token before the transaction begins, or raise poolSize.',
      )
    })
  }

  /** Runs statements of an inspection on a connection of its own: they may be slow, and the shared session must not be. */
  inspect<T>(work: (ask: Ask, connection: RawConnection) => Promise<T>): Promise<T> {
    return outside(async () => {
      const idle = this.waiting.takeIdle()
      if (idle) {
        try {
          return await work((sql) => idle.ask(sql), idle.connection)
        } finally {
          this.waiting.putBack(idle)
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

  /** Runs statements on connections beside those of the pool: see connections-beside.ts. */
  beside<T>(
    dialect: Dialect,
    most: number,
    patience: PatienceBeside,
    work: (open: () => Promise<ConnectionBeside>) => Promise<T>,
  ): Promise<T> {
    return besideThePool(this.#dataSource, dialect, most, patience, work)
  }

  /** The findings about the DataSource's own options. */
  checkPool(): Finding[] {
    return this.#opener.dialect.pool.check?.(this.#dataSource) ?? []
  }

  get isDialectSure(): boolean {
    return this.#opener.isDialectSure
  }

  /** Returns the sessions to the pool if they are known to hold nothing. Otherwise, and in a silent network, their connections are ended. */
  async close(isClean: boolean): Promise<void> {
    this.#isClosed = true
    this.waiting.close()
    // Before they are returned: a session that gets no answer then is ended below.
    const sessions = isClean ? this.open.ours : this.open.all
    if (isClean) await within(this.#giveAllBack(), FAREWELL_PATIENCE, undefined, unanswered).catch(() => {})
    for (const session of sessions) session.lose(new Error('the lock service was closed'))
    this.shared.drop()
    this.#stopLookingAfter()
    await this.#own?.close()
    this.#bounds.leave(this)
  }

  async #giveAllBack(): Promise<void> {
    await this.shared.settled()
    await this.open.giveOursBack()
  }

  /** For error messages of callers that want a session when there can be no more. */
  get closedError(): Error | undefined {
    return this.#isClosed ? new NamedLockClosedError('The lock service was closed.') : undefined
  }

  sessionOpened(session: Session, kind: SessionKind): void {
    this.open.add(session, kind)
    this.#startLookingAfter()
  }

  /** The listener is notified only of sessions that were open: any other holds nothing. */
  sessionLost(session: Session, error: NamedLockLostError): void {
    if (this.open.remove(session)) this.#listener.sessionLost(session, error)
  }

  sessionSilent(session: Session): void {
    const isAlone = this.open.isOf(session, 'migrations')
    this.#witness.ask(session, isAlone)
    if (!isAlone) this.#listener.sessionSilent(session)
  }

  get waitingSessions(): number {
    return this.waiting.count
  }

  /** Other services of the DataSource have no place for a session of theirs: idle sessions of these go back. */
  returnSpare(kind: Spare): void {
    if (kind === 'work') this.work.returnIdle(true)
    else this.waiting.returnIdle()
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

  /** A caller that waits for a connection of the pool now may have come while a session was just busy. */
  #returnIdleInTime(): void {
    if (this.#pool?.hasWaiters) this.#returnIdle(0, 0)
    else this.#returnIdle(IDLE_WAITING, IDLE_SHARED)
  }

  #returnIdle(waitingFor: number, sharedFor: number): void {
    if (this.#pool?.isClosing) {
      // Own connections end with the application's.
      void this.#own?.close()
      for (const session of this.open.all) session.lose(new Error('the DataSource was destroyed'))
      this.#stopLookingAfter()
      return
    }
    this.work.returnIdle(waitingFor === 0)
    const now = monotonicNow()
    this.waiting.returnIdle(now - waitingFor)
    const shared = this.shared.session
    if (shared && this.shared.isIdle && !shared.isBusy && now - shared.lastUsed >= sharedFor)
      void this.open.giveBack(shared)
  }
}

const unanswered = (): Error => new Error('the server did not answer')
