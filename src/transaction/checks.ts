import { NamedLockConfigurationError, NamedLockError, NamedLockReentrancyError } from '../contract/errors.js'
import type { TransactionOptions } from '../contract/options.js'
import type { Target } from '../names/targets.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { levelAround } from './level-around.js'
import type { TransactionLocks } from './transaction-locks.js'

/** The QueryRunner of a manager that runs a transaction of this DataSource, or takes part in the one around the running code. */
export function runnerOf(manager: unknown, dataSource: DataSourceLike): WorkRunner {
  const its = manager as { queryRunner?: WorkRunner; dataSource?: unknown; connection?: unknown } | null | undefined
  const level = its && !its.queryRunner ? levelAround(dataSource) : undefined
  const runner = level?.call?.settings.ambientTransactions ? level.transaction.locks.runner : its?.queryRunner
  if (!runner?.isTransactionActive) {
    throw new NamedLockConfigurationError(
      'lockTransaction: no transaction is running on that EntityManager. Pass the one that dataSource.transaction passes to its work, ' +
        'or the manager of a QueryRunner after startTransaction(); or use locks.transaction(name, work).',
    )
  }
  // TypeORM 1.x, and 0.3.
  if ((its?.dataSource ?? its?.connection) === dataSource) return runner
  throw new NamedLockConfigurationError(
    "lockTransaction: that EntityManager belongs to another DataSource than this service's. Use the service of that DataSource.",
  )
}

/** The rollback of a savepoint releases the locks that were acquired in it, while the transaction goes on without them. */
export function refuseInSavepoint(runner: WorkRunner, targets: readonly Target[]): void {
  if ((runner.transactionDepth ?? 1) <= 1) return
  throw new NamedLockConfigurationError(
    `lockTransaction: the lock '${targets[0]?.name}' was requested inside a savepoint (a transaction in the transaction). With pooling: 'transaction' ` +
      'a lock belongs to the savepoint that it was acquired in, and a rollback of the savepoint would release it silently. Acquire it in the outermost transaction.',
  )
}

/** The statement that requests the lock would take the snapshot, before the lock is granted. */
export function refuseOldSnapshot(isolation: string | undefined, targets: readonly Target[]): void {
  if (isolation !== 'repeatable read' && isolation !== 'serializable') return
  throw new NamedLockConfigurationError(
    `lockTransaction: the transaction runs with ${isolation.toUpperCase()}, where it would keep a snapshot from before the lock ` +
      `'${targets[0]?.name}' was granted. With pooling: 'transaction' use locks.transaction(name, { isolation }, work), or READ COMMITTED.`,
  )
}

/** All savepoints of a transaction have its isolation level. */
export function nestedIsolation(
  wanted: TransactionOptions['isolation'],
  running: TransactionOptions['isolation'],
): void {
  if (wanted === undefined || wanted === running) return
  throw new NamedLockConfigurationError(
    `isolation: '${wanted}' is not possible inside a transaction that runs with ${running ? `'${running}'` : 'another level'}: set it on the outermost.`,
  )
}

export function noLongerActive(locks: TransactionLocks): Error {
  return (
    locks.session.lostError ??
    new NamedLockError(
      'The transaction ended in the meantime, so no transaction is left to hold the lock. Await everything inside the work.',
      {
        code: 'NOT_HELD',
      },
    )
  )
}

/** A lock that a scope around the call holds on another connection is not lost together with the transaction. */
export function heldElsewhere(name: string): NamedLockReentrancyError {
  return new NamedLockReentrancyError(
    `Lock '${name}' is held by the running scope on another connection, and a transaction needs it on its own connection. ` +
      'Replace the withLock around it with transaction, or use a plain dataSource.transaction inside it.',
  )
}
