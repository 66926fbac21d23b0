import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import { plainRunner } from '../typeorm/plain-runner.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import type { Session } from '../session/session.js'
import { WorkConnection, type Owner } from './work-connection.js'

/**
 * A QueryRunner of the application's DataSource that works on a session's connection for one call. Every call gets a new one, though
 * many calls use the connection: an EntityManager that the work keeps must not end up in the next caller's transaction.
 */
export class BoundRunner {
  readonly runner: WorkRunner
  readonly work: WorkConnection
  readonly session: Session
  #isClosed = false

  /**
   * @param runner One that is not connected yet; by default a new one.
   * @param earlier The QueryRunners of earlier tries of the same work.
   * @param owner Of the transactions on it. Where that is the application, here TypeORM's own migrations, statements that commit implicitly
   * are no mistake, and `release()` has no effect: TypeORM calls it for every QueryRunner that it has asked for.
   */
  constructor(
    dataSource: DataSourceLike,
    session: Session,
    runner = plainRunner(dataSource),
    earlier?: WeakSet<object>,
    owner: Owner = 'ours',
  ) {
    const work = new WorkConnection(session, runner, owner, earlier)
    const connected = Promise.resolve(work.connection)
    // All statements of a QueryRunner get their connection here, so its own release() has no connection to return.
    runner.connect = () => connected
    runner.release = owner === 'ours' ? refuseRelease : keepConnection
    this.runner = runner
    this.work = work
    this.session = session
  }

  /**
   * The call is over: its EntityManager sends nothing any more. A transaction that it has left open must not go on under the next lock, nor
   * reach the pool. TypeORM's flag covers only transactions that TypeORM began, and not those that began with autocommit off or by a
   * statement of the work.
   */
  close(): void {
    // Once: `close()` of the service may have taken the lock away from the work, and the connection has another holder when the work ends.
    if (this.#isClosed) return
    this.#isClosed = true
    const { session } = this
    const isOpen = this.work.isInTransaction
    this.work.close()
    delete (this.runner as Partial<WorkRunner>).release
    void this.runner.release()
    if (session.lostError) return
    if (isOpen) session.lose(new Error('the lock was released while a transaction was running on its connection'))
    // Sent ahead of the lock's release. If it cannot be sent, the session is lost.
    else if (isOpen === undefined) {
      session.send(session.dialect.rollBack, (error) => {
        if (error) session.lose(error)
      })
    }
  }
}

function keepConnection(): Promise<void> {
  return Promise.resolve()
}

function refuseRelease(): Promise<never> {
  return Promise.reject(
    new NamedLockConfigurationError(
      'Work under a named lock called release() of its QueryRunner. The connection is returned when the lock is released: do not release it yourself.',
    ),
  )
}
