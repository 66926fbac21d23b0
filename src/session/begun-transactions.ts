import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { TransactionOptions } from '../contract/options.js'
import { plainRunner } from '../typeorm/plain-runner.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import type { RawConnection, RunnerLike } from '../typeorm/raw-connection.js'
import { databaseError } from '../contract/database-error.js'
import { outside } from '../util/outside.js'
import type { OpenSessions } from './open-sessions.js'
import type { Session } from './session.js'
import type { WorkPlaces } from './work-places.js'

/** A transaction that runs on a connection of the pool, with nothing in it yet. */
export interface Begun {
  readonly session: Session
  /** Its QueryRunner, for the work. */
  readonly runner: WorkRunner
}

/** What they need of the other connections. */
export interface BegunTransactionsContext {
  readonly sessions: OpenSessions
  readonly dataSource: DataSourceLike
  /** Shared with all other services of the DataSource. */
  readonly places: WorkPlaces
  connect(): Promise<[RunnerLike, RawConnection]>
  prepare(runner: RunnerLike, connection: RawConnection): Promise<Session>
  destroy(connection: RawConnection): void
  /** The database's answer, and not the end of the connection. */
  isAnswer(error: unknown): boolean
}

/**
 * The transactions of locks that live in one (behind a pooler): each begins before its lock is asked for, and has a connection
 * for as long as it runs. Their number is limited for all services of the DataSource together, so that the application keeps one for the rest of its work.
 */
export class BegunTransactions {
  readonly #context: BegunTransactionsContext
  readonly #running = new WeakSet<Session>()

  constructor(context: BegunTransactionsContext) {
    this.#context = context
    context.sessions.whenGone((session) => {
      if (this.#running.delete(session)) context.places.giveBack()
    })
  }

  /** Why a caller may be waiting for one. */
  get obstacle(): string {
    const { places } = this.#context
    return places.isWaiting(this)
      ? `all ${places.limit} connections that transactions with locks may have at once were in use`
      : 'no connection came free in that time, in the pool of the DataSource or in the pooler behind it'
  }

  async begin(isolation: TransactionOptions['isolation']): Promise<Begun> {
    const { places } = this.#context
    if (!places.takeAtOnce()) await new Promise<void>((granted) => places.wait({ owner: this, granted }))
    try {
      return await outside(() => this.#begin(isolation))
    } catch (error) {
      places.giveBack()
      throw error
    }
  }

  /** Connections that have died in the pool, as after a restart of the pooler, are passed over. */
  async #begin(isolation: TransactionOptions['isolation']): Promise<Begun> {
    for (let tries = this.#context.places.limit; ; tries--) {
      try {
        return await this.#tryToBegin(isolation)
      } catch (error) {
        const { driverError } = error as { driverError?: unknown }
        if (driverError === undefined) throw error
        if (tries > 0 && !this.#context.isAnswer(driverError)) continue
        throw databaseError('No transaction could be begun for locks', error)
      }
    }
  }

  async #tryToBegin(isolation: TransactionOptions['isolation']): Promise<Begun> {
    const context = this.#context
    const [owner, connection] = await context.connect()
    const runner = plainRunner(context.dataSource)
    runner.connect = () => Promise.resolve(connection)
    try {
      await runner.startTransaction(isolation)
    } catch (error) {
      context.destroy(connection)
      await owner.release().catch(() => {})
      throw error
    }
    const session = await context.prepare(owner, connection)
    if (session.lostError) throw session.lostError
    this.#running.add(session)
    return { session, runner }
  }
}
