import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import type { Session } from '../session/session.js'
import { WorkConnection } from './work-connection.js'

/**
 * A QueryRunner of the application's DataSource that works on a session's connection for one call. A new one for every call,
 * though the connection is used again and again: an EntityManager that is kept and used after its call must not end up in the
 * next caller's transaction.
 */
export class BoundRunner {
  readonly runner: WorkRunner
  readonly work: WorkConnection
  readonly session: Session
  #isClosed = false

  /** @param runner One that was made before and is not connected; else a new one. */
  constructor(
    dataSource: DataSourceLike,
    session: Session,
    runner = dataSource.createQueryRunner('master') as WorkRunner,
  ) {
    const work = new WorkConnection(session, runner, 'ours')
    const connected = Promise.resolve(work.connection)
    // All statements of a QueryRunner ask for its connection here; its own release() then has nothing to give back.
    runner.connect = () => connected
    runner.release = refuseRelease
    this.runner = runner
    this.work = work
    this.session = session
  }

  /**
   * The call is over: nothing can be done with its EntityManager any more. What it has left of a transaction must not go on under
   * the next lock, nor reach the pool. TypeORM's flag knows of its own transactions only; there are those that began with
   * autocommit off, or by a statement of the work.
   */
  close(): void {
    // Once: `close()` of the service may have taken the lock away from the work, and the connection is somebody else's when that ends.
    if (this.#isClosed) return
    this.#isClosed = true
    const { session } = this
    const isOpen = this.work.isInTransaction
    this.work.close()
    delete (this.runner as Partial<WorkRunner>).release
    void this.runner.release()
    if (session.lostError) return
    if (isOpen) session.lose(new Error('the lock was released while a transaction was running on its connection'))
    // Ahead of the lock's release on the wire. Where it cannot be sent, the session is lost.
    else if (isOpen === undefined) {
      session.send(session.dialect.rollBack, (error) => {
        if (error) session.lose(error)
      })
    }
  }
}

function refuseRelease(): Promise<never> {
  return Promise.reject(
    new NamedLockConfigurationError(
      'release() of the QueryRunner was called by work under a named lock: its connection goes back when the lock is released.',
    ),
  )
}
