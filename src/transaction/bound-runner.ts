import type { DataSourceLike } from '../data-source-like.js'
import { NamedLockConfigurationError } from '../errors.js'
import type { TransactionOptions } from '../options.js'
import type { RawConnection } from '../session/connection.js'
import type { Session } from '../session/session.js'
import { WorkConnection } from '../session/work-connection.js'

/** What the library uses of TypeORM's QueryRunner. */
export interface WorkRunner {
  readonly manager: unknown
  readonly isTransactionActive: boolean
  readonly isReleased: boolean
  connect(): Promise<RawConnection>
  release(): Promise<void>
  startTransaction(isolation?: TransactionOptions['isolation']): Promise<void>
  /** 1 in a transaction, more in its savepoints. TypeORM keeps it to itself. */
  readonly transactionDepth?: number
  commitTransaction(): Promise<void>
  rollbackTransaction(): Promise<void>
}

/**
 * A QueryRunner of the application's DataSource that works on a session's connection for one call. A new one for every call,
 * though the connection is used again and again: an EntityManager that is kept and used after its call must not end up in the
 * next caller's transaction.
 */
export class BoundRunner {
  readonly runner: WorkRunner
  readonly work: WorkConnection

  /** @param runner One that was made before and is not connected; else a new one. */
  constructor(
    dataSource: DataSourceLike,
    session: Session,
    runner = dataSource.createQueryRunner('master') as WorkRunner,
  ) {
    const work = new WorkConnection(session, runner)
    const connected = Promise.resolve(work.connection)
    // All statements of a QueryRunner ask for its connection here; its own release() then has nothing to give back.
    runner.connect = () => connected
    runner.release = refuseRelease
    this.runner = runner
    this.work = work
  }

  /** The call is over: whoever still has the EntityManager can do nothing with it. False when it leaves a transaction open. */
  close(): boolean {
    const isClean = !this.runner.isTransactionActive
    this.work.close()
    delete (this.runner as Partial<WorkRunner>).release
    void this.runner.release()
    return isClean
  }
}

function refuseRelease(): Promise<never> {
  return Promise.reject(
    new NamedLockConfigurationError(
      'release() of the QueryRunner was called by work under a named lock: its connection goes back when the lock is released.',
    ),
  )
}
