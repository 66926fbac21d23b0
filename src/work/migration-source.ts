import { NamedLockClosedError } from '../contract/errors.js'
import type { SessionSource } from '../session/session-source.js'
import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { RawConnection } from '../typeorm/raw-connection.js'
import { BoundRunner } from './bound-runner.js'
import { LentConnection } from './lent-connection.js'

/**
 * The one connection of `runMigrations`: for the lock and for the migrations, in the pool of the DataSource. The call needs no other one,
 * because there may be none: a pool of one connection, or a database account that may have one.
 *
 * So the call keeps it while it waits, where other callers wait without a connection; and it asks and waits there itself.
 */
export class MigrationSource implements SessionSource {
  /** The contest must not look on any other connection. */
  readonly isInUse = true
  readonly isAlone = true
  readonly #dataSource: DataSourceLike
  readonly #sessions: Sessions
  #session: Session | undefined
  #opening: Promise<Session> | undefined
  #bound: BoundRunner | undefined
  readonly #lent = new LentConnection()

  constructor(dataSource: DataSourceLike, sessions: Sessions) {
    this.#dataSource = dataSource
    this.#sessions = sessions
  }

  get inTransaction(): boolean {
    return this.#bound?.runner.isTransactionActive ?? false
  }

  get obstacle(): string | undefined {
    return this.#opening && "no connection came free in the DataSource's pool in that time"
  }

  get manager(): unknown {
    return this.#bound?.runner.manager
  }

  /** The session, if it is open and alive. */
  get session(): Session | undefined {
    return this.#session?.lostError ? undefined : this.#session
  }

  /** For a question that comes before the lock. */
  async connect(): Promise<RawConnection> {
    return (await this.#ready()).connection
  }

  /** The QueryRunner of the migrations. TypeORM releases it after them: that has no effect. */
  bind(): BoundRunner['runner'] {
    this.#bound = new BoundRunner(this.#dataSource, this.#session as Session, undefined, undefined, 'application')
    return this.#bound.runner
  }

  openAtOnce(): Session | undefined {
    const { session } = this
    if (session) this.#lent.lend()
    return session
  }

  async open(): Promise<Session> {
    await this.#ready()
    const session = this.openAtOnce()
    if (!session) throw this.#session?.lostError ?? new NamedLockClosedError('The lock service was closed.')
    return session
  }

  close(): Promise<void> {
    this.#lent.giveBack()
    return Promise.resolve()
  }

  canTakeOver(): boolean {
    return false
  }

  takeOver(): void {}

  endWork(): void {
    this.#bound?.close()
  }

  /** The wait is over: resolves when the migrations, or their end, can use the connection. */
  async connectionIsBack(): Promise<void> {
    if (this.session) await this.#lent.isBack(this.session)
  }

  /** The call is over: the connection returns to the pool. One that is still being opened does so when it comes. */
  async end(): Promise<void> {
    const opening = this.#opening
    if (opening) {
      void opening.then(
        (session) => this.#sessions.open.giveBack(session),
        () => {},
      )
      return
    }
    const { session } = this
    if (session) await this.#sessions.open.giveBack(session)
  }

  async #ready(): Promise<Session> {
    if (this.session) return this.session
    this.#opening ??= this.#sessions.openForMigrations()
    try {
      return (this.#session = await this.#opening)
    } finally {
      this.#opening = undefined
    }
  }
}
