import type { DataSourceLike, EntityManagerLike } from '../typeorm/data-source-like.js'
import {
  NamedLockConfigurationError,
  NamedLockError,
  NamedLockInsideTransactionError,
  NamedLockReentrancyError,
} from '../contract/errors.js'
import { transactionScope } from '../scope/lock-scope.js'
import type { LockNames, NamedLockServiceOptions, TransactionOptions } from '../contract/options.js'
import type { Settings } from '../contract/settings.js'
import { namesOf, type Target } from '../names/targets.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import type { TransactionLocks } from './transaction-locks.js'

/** A lock on another connection would be given back before the COMMIT of the transaction around it. */
export function refuseInsideTransaction(names: LockNames, setting: Settings['insideTransaction']): void {
  if (setting === 'allow') return
  const name = namesOf(names).join("', '")
  const message =
    `The lock '${name}' was asked for inside a running transaction of the same DataSource: it would be given back before the COMMIT, ` +
    'and the transaction may read from before the lock. ' +
    `Either take the lock around the transaction: locks.transaction('${name}', (manager) => …), or withLock outside of it. ` +
    `Or keep the lock until the transaction has ended: locks.lockTransaction(manager, '${name}').`
  if (setting === 'error') throw new NamedLockInsideTransactionError(message)
  process.emitWarning(message, 'NamedLockWarning')
}

/** The same for an instance that works in a transaction, such as a repository with a transaction's manager, where nothing else tells. */
export function refuseInTransactionOf(
  instance: unknown,
  { dataSource, options }: { dataSource: DataSourceLike; options: NamedLockServiceOptions },
  names: LockNames,
): void {
  const manager = (instance as { manager?: Partial<EntityManagerLike> } | null | undefined)?.manager
  if (!manager?.queryRunner?.isTransactionActive) return
  if (manager === dataSource.manager || transactionScope(dataSource)) return // the service sees it itself
  refuseInsideTransaction(names, options.insideTransaction ?? 'error')
}

export function reentrancyRefused(name: string): NamedLockReentrancyError {
  return new NamedLockReentrancyError(
    `The lock '${name}' is already held by the running scope. Use the held lock, or pass reentrant: true to share it. ` +
      'Work that a scope starts and does not await belongs to that scope, too: start it outside if it is to wait for the lock.',
  )
}

/** Who holds a lock with others can not have it alone: they may want the same, and wait for each other for ever. */
export function refuseUpgrade({ name, isShared }: Target): void {
  if (!isShared) return
  throw new NamedLockReentrancyError(
    `The running scope holds the lock '${name}' together with other readers (shared: true), and can not have it alone before it has given that ` +
      'back. Take it without shared from the beginning.',
  )
}

/** The QueryRunner of a manager that runs a transaction of this DataSource. */
export function runnerOf(manager: unknown, dataSource: DataSourceLike): WorkRunner {
  const its = manager as { queryRunner?: WorkRunner; dataSource?: unknown; connection?: unknown } | null | undefined
  const runner = its?.queryRunner
  if (!runner?.isTransactionActive) {
    throw new NamedLockConfigurationError(
      'lockTransaction: no transaction is running on that EntityManager. Give it the one that dataSource.transaction calls its work ' +
        'with, or the manager of a QueryRunner after startTransaction(); or use locks.transaction(name, work).',
    )
  }
  // TypeORM 1.x, and 0.3.
  if ((its?.dataSource ?? its?.connection) === dataSource) return runner
  throw new NamedLockConfigurationError(
    "lockTransaction: that EntityManager belongs to another DataSource than this service's. Use the service of its own.",
  )
}

/** The rollback of a savepoint takes the locks with it that were taken in it, while the transaction goes on without them. */
export function refuseInSavepoint(runner: WorkRunner, targets: readonly Target[]): void {
  if ((runner.transactionDepth ?? 1) <= 1) return
  throw new NamedLockConfigurationError(
    `lockTransaction: the lock '${targets[0]?.name}' was asked for inside a savepoint (a transaction in the transaction). With pooling: 'transaction' ` +
      'a lock belongs to the savepoint it was taken in, and a rollback of that would lose it without a word. Take it in the outermost transaction.',
  )
}

/** The statement that asks for the lock would take the snapshot, before the lock is there. */
export function refuseOldSnapshot(isolation: string | undefined, targets: readonly Target[]): void {
  if (isolation !== 'repeatable read' && isolation !== 'serializable') return
  throw new NamedLockConfigurationError(
    `lockTransaction: the transaction runs with ${isolation.toUpperCase()}, where it would go on seeing what was there before the lock ` +
      `'${targets[0]?.name}' came. With pooling: 'transaction' use locks.transaction(name, { isolation }, work), or READ COMMITTED.`,
  )
}

/** All savepoints of a transaction see it at one level. */
export function nestedIsolation(
  wanted: TransactionOptions['isolation'],
  running: TransactionOptions['isolation'],
): void {
  if (wanted === undefined || wanted === running) return
  throw new NamedLockConfigurationError(
    `isolation: '${wanted}' can not be had inside a transaction that runs with ${running ? `'${running}'` : 'another level'}: set it on the outermost.`,
  )
}

export function noLongerActive(locks: TransactionLocks): Error {
  return (
    locks.session.lostError ??
    new NamedLockError('The transaction has ended meanwhile: there is none to hold the lock.', { code: 'NOT_HELD' })
  )
}
