import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { Dialect, SessionUse } from '../dialect/dialect.js'
import { findServer } from '../dialect/choose-dialect.js'
import { refuseEngine } from '../dialect/engines.js'
import { NamedLockClosedError, NamedLockConfigurationError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import { Backoff } from '../util/backoff.js'
import { setImmediate } from '../util/clock.js'
import { plainRunner } from '../typeorm/plain-runner.js'
import type { RawConnection, RunnerLike } from '../typeorm/raw-connection.js'
import { databaseError } from '../contract/database-error.js'
import { thisMoment } from './lease.js'
import type { OpenSessions, SessionKind } from './open-sessions.js'
import type { OwnConnections } from './own-data-source.js'
import { queryWithin, SilentConnectionError } from './query-within.js'
import { Session, type SessionsListener } from './session.js'
import type { SessionSettings } from './session-settings.js'

/** How long a new connection may take to answer, in milliseconds; a little longer after each that does not. */
const FIRST_PATIENCE = 1_000
/** How many attempts to open a session may be cancelled by a KILL. */
const MOST_CANCELLED = 5

const USES: Readonly<Record<SessionKind, SessionUse>> = {
  shared: 'locks',
  waiting: 'locks',
  work: 'work',
  migrations: 'work',
  adopted: 'transaction',
  begun: 'begun',
}

/** The owner of the sessions that are opened. */
export interface SessionOwner extends SessionsListener {
  /** Why there can be no new sessions; undefined while there can. */
  readonly closedError: Error | undefined
  readonly open: OpenSessions
  /** @throws NamedLockConfigurationError where the pool has no room for a session of that kind. */
  checkRoomFor(kind: SessionKind): void
  /** One more, in the same turn in which it was ready. */
  sessionOpened(session: Session, kind: SessionKind): void
}

/** Gets connections, from the pool or beside it, finds out which server is at the other end, and makes sessions of them. */
export class SessionOpener {
  /** A guess by the driver's type until the first connection is open. Written by `#findDialect`. */
  #dialect: Dialect
  /** Once true, `#dialect` does not change any more. */
  #isDialectSure: boolean
  /** Set by an attempt to open a session that failed, cleared by one that succeeded. */
  #trouble: Error | undefined
  readonly #dataSource: DataSourceLike
  readonly #settings: SessionSettings
  readonly #own: OwnConnections | undefined
  readonly #owner: SessionOwner
  readonly #backoff = new Backoff(
    (error) => !(error instanceof NamedLockConfigurationError || error instanceof NamedLockClosedError),
  )
  /** Failures of connections that were there, added by `prepare`. */
  readonly #unprepared = new WeakSet<Error>()

  constructor(
    dataSource: DataSourceLike,
    settings: SessionSettings,
    dialect: Dialect,
    own: OwnConnections | undefined,
    owner: SessionOwner,
  ) {
    this.#dataSource = dataSource
    this.#settings = settings
    this.#dialect = dialect
    this.#isDialectSure = dialect.isCertain ?? false
    this.#own = own
    this.#owner = owner
  }

  /** The server's dialect; before `isDialectSure` a guess by the driver's type. */
  get dialect(): Dialect {
    return this.#dialect
  }

  get isDialectSure(): boolean {
    return this.#isDialectSure
  }

  /** Why the last attempt to open a session failed; undefined after one that succeeded. */
  get trouble(): Error | undefined {
    return this.#trouble
  }

  /** A session, or the database's error. Connections that died unnoticed are passed over. */
  async open(kind: SessionKind): Promise<Session> {
    this.#owner.checkRoomFor(kind)
    let cancelled = 0
    for (let patience = FIRST_PATIENCE; ; patience = Math.min(patience * 1.25, this.mostPatience)) {
      await this.#backoff.due()
      try {
        const session = await this.#tryToOpen(kind, patience)
        this.#backoff.succeeded()
        this.#trouble = undefined
        return session
      } catch (error) {
        this.#trouble = error as Error
        if (error instanceof SilentConnectionError) continue
        // A KILL or KILL QUERY, or a connection that had died in the pool: nothing is wrong with the server. If there is, the next try says so.
        if (this.#isInterrupted(error) && ++cancelled < MOST_CANCELLED) continue
        if (this.#dataSource.isInitialized) this.#backoff.failed()
        throw error
      }
    }
  }

  #isInterrupted(error: unknown): boolean {
    const cause = (error as Error).cause ?? {}
    if (this.#dialect.waitFailure(cause) === 'cancelled') return true
    return this.#unprepared.has(error as Error) && !this.#dialect.isAnswer(cause)
  }

  async #tryToOpen(kind: SessionKind, patience: number): Promise<Session> {
    const source = kind === 'work' || kind === 'migrations' ? this.#dataSource : await this.source
    const [runner, connection] = await this.connect(source)
    if (this.#owner.closedError) {
      await runner.release()
      throw this.#owner.closedError
    }
    return this.prepare(runner, connection, kind, patience)
  }

  async prepare(
    runner: RunnerLike,
    connection: RawConnection,
    kind: SessionKind,
    patience = this.mostPatience,
  ): Promise<Session> {
    let session: Session
    try {
      if (!this.#isDialectSure) await this.#findDialect(connection, patience)
      session = await this.#makeSession(runner, connection, kind, patience)
    } catch (error) {
      this.#dialect.destroy(connection)
      await runner.release().catch(() => {})
      if (error instanceof SilentConnectionError) throw error
      const failure = databaseError('The database connection for locks could not be prepared', error)
      if (failure !== error) this.#unprepared.add(failure)
      throw failure
    }
    const refusal = (await this.#refusal(session)) ?? this.#owner.closedError
    if (refusal) {
      await session.giveBack()
      throw refusal
    }
    if (session.lostError) throw session.lostError
    this.#owner.sessionOpened(session, kind)
    return session
  }

  async #makeSession(
    runner: RunnerLike,
    connection: RawConnection,
    kind: SessionKind,
    patience: number,
  ): Promise<Session> {
    const dialect = this.#dialect
    const ignore = (): void => {}
    connection.on('error', ignore) // without a listener of ours a second 'error' would end the process
    try {
      let sentAt = thisMoment()
      const ask = (sql: string): Promise<unknown> => {
        sentAt = thisMoment()
        return queryWithin(dialect.wire(connection), sql, patience)
      }
      const facts = await dialect.open(ask, this.#settings.lease, USES[kind], connection)
      return new Session(this.#owner, runner, connection, dialect, this.#settings, facts, sentAt)
    } finally {
      // The session has a listener of its own by now, or the connection is about to be destroyed and may emit once more.
      setImmediate(() => connection.removeListener('error', ignore))
    }
  }

  /** While the database is away one connection is tried at a time, whatever it is for. */
  connect(ownOrPool: DataSourceLike): Promise<[RunnerLike, RawConnection]> {
    return this.#backoff.alone(() => this.#connect(ownOrPool))
  }

  async #connect(ownOrPool: DataSourceLike): Promise<[RunnerLike, RawConnection]> {
    if (this.#owner.closedError) throw this.#owner.closedError
    // Own connections must not outlive the application's: its DataSource says what is wrong then.
    const source = this.#dataSource.isInitialized ? ownOrPool : this.#dataSource
    const unguard = this.#dialect.pool.guard?.(source)
    try {
      // Always the primary: locks on a replica exclude no other process.
      const runner = await (this.#dialect.pool.connect?.(source) ?? plainRunner(source))
      return [runner, await runner.connect()]
    } catch (error) {
      if (source.isInitialized) throw databaseError('No connection to the database for locks', error)
      const message = 'The DataSource is not initialised: call dataSource.initialize() first.'
      throw new NamedLockConfigurationError(because('not-initialised', message), { cause: error })
    } finally {
      unguard?.()
    }
  }

  /** Where connections for locks come from. */
  get source(): DataSourceLike | Promise<DataSourceLike> {
    return this.#own && this.#dataSource.isInitialized ? this.#own.get() : this.#dataSource
  }

  async #findDialect(connection: RawConnection, patience: number): Promise<void> {
    const wire = this.#dialect.wire(connection)
    const ask = (sql: string): Promise<unknown> => queryWithin(wire, sql, patience)
    const { dialect, version } = await findServer(ask)
    if (!dialect) return
    // Before anything else is sent that such a server may refuse for another reason.
    refuseEngine('mysql', version)
    await dialect.refuseServer?.(ask)
    this.#dialect = dialect
    this.#isDialectSure = true
  }

  /** Why a session cannot be used here; undefined when it can. */
  async #refusal({ facts }: Session): Promise<Error | undefined> {
    if (facts.lease === undefined && !this.#settings.allowNoLease) {
      return new NamedLockConfigurationError(because('no-lease', this.#dialect.noLease))
    }
    for (const sibling of this.#owner.open.all) {
      if (sibling.facts.identity === facts.identity || !(await this.#stillAnswers(sibling))) continue
      return new NamedLockConfigurationError(
        because(
          'several-servers',
          `The DataSource's address leads to several servers (${sibling.facts.identity} and ${facts.identity}): ` +
            'named locks live on one server and exclude no caller on the other. Point it at the primary.',
        ),
      )
    }
    return undefined
  }

  /** After a failover the sessions of the old server end one by one, each by its lease at the latest. */
  async #stillAnswers(session: Session): Promise<boolean> {
    if (session.isWorking) return false // it may be busy for hours, and the witness watches over its locks
    await session.ask(this.#dialect.keepAlive).catch(() => {})
    return session.checkLease()
  }

  /** How long any connection may take to answer. A server that takes longer could not answer keepalives in time either. */
  get mostPatience(): number {
    return Math.max(FIRST_PATIENCE, this.#settings.lease / 3)
  }
}
