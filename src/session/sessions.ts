import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { Dialect } from '../dialect/dialect.js'
import type { PoolWatch } from '../dialect/pool-driver.js'
import type { Ask } from '../typeorm/raw-connection.js'
import type { Finding } from '../contract/lock-info.js'
import { NamedLockClosedError, NamedLockError, type NamedLockLostError } from '../contract/errors.js'
import { singleValue, type RawConnection, type RunnerLike } from '../typeorm/raw-connection.js'
import { BegunTransactions } from './begun-transactions.js'
import { databaseError } from '../contract/database-error.js'
import type { BoundMember, JointBounds, Spare } from './joint-bounds.js'
import { outside } from '../util/outside.js'
import { OwnConnections } from './own-data-source.js'
import { Questions } from './borrowing-place.js'
import { queryWithin, SilentConnectionError } from './query-within.js'
import type { Session, SessionsListener } from './session.js'
import { SessionOpener, type Kind } from './session-opener.js'
import type { SessionSettings } from './session-settings.js'
import { SharedPlace, type Shared } from './shared-place.js'
import { Witness } from './witness.js'
import { WorkSessions } from './work-sessions.js'
import { within } from '../util/within.js'
import { clearInterval, monotonicNow, setInterval } from '../util/clock.js'

/** How often idle sessions are looked for. */
const LOOK_AFTER = 250
/** How long a session stays without use before it goes back to the pool. */
const IDLE_WAITING = 1_000
const IDLE_SHARED = 5_000
/** How long the server may take for the farewell of all sessions. */
const PATIENCE = 2_000

/**
 * All connections of the services that share them: the shared session, the waiting sessions, and those that a single lock has for
 * itself.
 *
 * How many there may be is decided together with all other sessions of the DataSource: see joint-bounds.ts. Idle sessions
 * go back after a while, and at once when somebody has to wait for a connection of the pool.
 */
export class Sessions implements BoundMember {
  readonly shared: Shared
  /** Those that a transaction or a dedicated lock works on. */
  readonly work: WorkSessions
  /** Those of locks that end with their transaction. */
  readonly begun: BegunTransactions
  /** Who sleeps for lack of a waiting session, longest first: one is called when a session becomes idle. */
  readonly wanting = new Set<() => void>()

  readonly #dataSource: DataSourceLike
  readonly #own: OwnConnections | undefined
  readonly #settings: SessionSettings
  readonly #listener: SessionsListener
  readonly #bounds: JointBounds
  readonly #open = new Map<Session, Kind>()
  readonly #idle: Session[] = []
  readonly #opener: SessionOpener
  readonly #witness: Witness
  #openingWaiting = false
  #closed = false
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
    this.#opener = new SessionOpener(dataSource, settings, dialect, this.#own, {
      closedError: () => this.#closedError,
      open: () => this.#open.keys(),
      opened: (session, kind) => this.#opened(session, kind),
      sessionLost: (session, error) => this.#sessionLost(session, error),
      sessionSilent: (session) => this.#sessionSilent(session),
    })
    this.work = new WorkSessions({
      places: bounds.work,
      poolSize: bounds.poolSize,
      hasPoolWaiters: () => this.#pool?.hasWaiters ?? false,
      open: () => outside(() => this.#opener.open('work')),
      giveBack: (session) => this.#giveBack(session),
    })
    this.begun = new BegunTransactions({
      dataSource,
      places: bounds.work,
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

  /** The dialect, when it is known for certain. */
  async sureDialect(): Promise<Dialect> {
    if (!this.#opener.isDialectSure) await this.shared.ready()
    return this.#opener.dialect
  }

  /** What keeps the lock service waiting, where it is not another lock's holder; for error messages. */
  get obstacle(): string | undefined {
    if (!this.shared.isOpeningLate) return undefined
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
    if (!this.#openingWaiting && !this.#closed && this.#bounds.takeWaiting(this)) this.#openWaiting()
    return undefined
  }

  /** Whether there may be waiting sessions at all. */
  get canWait(): boolean {
    return this.#bounds.mostWaiting(this) > 0
  }

  /** Back from a wait; it must hold nothing. */
  returnWaiting(session: Session): void {
    if (session.lostError) return
    session.touch()
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
    return this.#bounds.takeBlockingPermit(this)
  }

  returnBlockingPermit(): void {
    this.#bounds.returnBlockingPermit(this)
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

  /** Whether that connection is one of these sessions'. */
  has(connectionId: string): boolean {
    for (const session of this.#open.keys()) if (session.connectionId === connectionId) return true
    return false
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
    this.#bounds.leave(this)
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
    this.#startLookingAfter()
  }

  #sessionLost(session: Session, error: NamedLockLostError): void {
    if (!this.#open.has(session)) return // it was refused, or is on its way back to the pool: it holds nothing
    this.#forget(session)
    this.#listener.sessionLost(session, error)
  }

  #sessionSilent(session: Session): void {
    this.#witness.ask(session)
    this.#listener.sessionSilent(session)
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

  /** How many waiting sessions there are, or will be. */
  get waiting(): number {
    let count = this.#openingWaiting ? 1 : 0
    for (const kind of this.#open.values()) if (kind === 'waiting') count++
    return count
  }

  /** Other services of the DataSource have no place for a session of theirs: what is idle here goes back. */
  returnSpare(kind: Spare): void {
    if (kind === 'work') this.work.returnIdle(true)
    else for (const session of [...this.#idle]) void this.#giveBack(session)
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
