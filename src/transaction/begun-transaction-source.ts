import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { NamedLockClosedError } from '../contract/errors.js'
import type { TransactionOptions } from '../contract/options.js'
import type { SessionSource } from '../session/session-source.js'
import { databaseError } from '../contract/database-error.js'
import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'
import { BoundRunner } from '../work/bound-runner.js'

/** The weaker levels take a new snapshot for every statement. */
const NEW_FOR_EACH_STATEMENT: ReadonlySet<string | undefined> = new Set(['read committed', 'read uncommitted'])

/**
 * A transaction of its own for the locks of a call and for the work under them, where locks end with their transaction. It begins
 * before the first lock is requested, and is rolled back when that lock is not granted.
 */
export class BegunTransactionSource implements SessionSource {
  readonly #dataSource: DataSourceLike
  readonly #sessions: Sessions
  readonly #isolation: TransactionOptions['isolation']
  #beginning: Promise<Session> | undefined
  #session: Session | undefined
  #bound: BoundRunner | undefined
  /** How many claims of the call use it. Written by open and close. */
  #users = 0

  constructor(dataSource: DataSourceLike, sessions: Sessions, isolation: TransactionOptions['isolation']) {
    this.#dataSource = dataSource
    this.#sessions = sessions
    this.#isolation = isolation
  }

  get isInUse(): boolean {
    return this.#users > 0
  }

  get inTransaction(): boolean {
    return this.#bound?.runner.isTransactionActive ?? false
  }

  get obstacle(): string | undefined {
    return this.#beginning && this.#sessions.begun.obstacle
  }

  /** The QueryRunner on the connection, in the transaction. */
  get bound(): BoundRunner {
    if (!this.#bound) throw new NamedLockClosedError('The transaction of the lock has ended.')
    return this.#bound
  }

  get manager(): unknown {
    return this.#bound?.runner.manager
  }

  openAtOnce(): Session | undefined {
    if (this.#users === 0 || !this.#session || this.#session.lostError) return undefined
    this.#users++
    return this.#session
  }

  async open(): Promise<Session> {
    const session = this.openAtOnce()
    if (session) return session
    if (this.#users > 0 && this.#session?.lostError) throw this.#session.lostError
    this.#users++
    this.#beginning ??= this.#begin()
    try {
      return await this.#beginning
    } catch (error) {
      this.#users--
      throw error
    } finally {
      this.#beginning = undefined
    }
  }

  async close(session: Session): Promise<void> {
    if (--this.#users > 0) return
    await this.endTransaction().catch((error: unknown) => session.lose(error))
    // The next try may have begun a transaction on another connection meanwhile.
    if (this.#session === session) this.#session = undefined
    await this.#sessions.open.giveBack(session, true)
  }

  canTakeOver(): boolean {
    return false
  }

  takeOver(): void {}

  /** Releases all of the call's locks: when one of them cannot be acquired, the others are useless. */
  async endTransaction(): Promise<void> {
    const { runner } = this.#bound ?? {}
    if (!runner?.isTransactionActive || this.#session?.lostError) return
    await runner.rollbackTransaction()
  }

  /** Renews the transaction's snapshot: it must not be older than the locks. */
  async renewSnapshot(literals: readonly string[], lease: number): Promise<void> {
    const session = this.#session as Session
    const { dialect, facts } = session
    if (NEW_FOR_EACH_STATEMENT.has(facts.isolation) || !dialect.renewSnapshot) return
    try {
      await session.ask(dialect.renewSnapshot(literals, lease))
    } catch (error) {
      session.lose(error) // the session may still hold a lock, and must not go back to the pooler
      throw databaseError(
        `The snapshot of the transaction could not be renewed after its lock was granted (${facts.isolation} needs PostgreSQL 12 or later)`,
        error,
      )
    }
  }

  /** Refuses all further statements of the work. */
  endWork(): void {
    this.#bound?.close()
  }

  async #begin(): Promise<Session> {
    const { session, runner } = await this.#sessions.begun.begin(this.#isolation)
    session.noteTransactionStatus('open')
    this.#bound = new BoundRunner(this.#dataSource, session, runner)
    this.#session = session
    if (session.lostError) throw session.lostError
    return session
  }
}
