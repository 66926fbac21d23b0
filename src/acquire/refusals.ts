import {
  NamedLockConfigurationError,
  NamedLockDeadlockError,
  NamedLockInsideTransactionError,
  NamedLockReentrancyError,
} from '../contract/errors.js'
import type { LockNames, NamedLockServiceOptions } from '../contract/options.js'
import type { Settings } from '../contract/settings.js'
import { namesOf, type Target } from '../names/targets.js'
import { transactionScope } from '../scope/lock-scope.js'
import type { DataSourceLike, EntityManagerLike } from '../typeorm/data-source-like.js'

/*
 * What a call may not ask for: a lock on another connection inside a transaction, a lock that its scope holds already, more of a lock
 * than its scope holds, a wait that would never end, a release before its time, and behind a pooler a lock that outlives its transaction.
 */

/** Refuses a scoped call inside a transaction of the DataSource, as far as the library knows of the transaction. */
export function guardTransaction(
  dataSource: DataSourceLike,
  names: LockNames,
  setting: Settings['insideTransaction'],
): void {
  // typeorm-transactional puts its transaction's manager in the place of the DataSource's.
  const isInside = dataSource.manager.queryRunner?.isTransactionActive || transactionScope(dataSource)
  if (isInside) refuseInsideTransaction(names, setting)
}

/**
 * The same for an instance that works in a transaction which the service does not see, such as a repository with a transaction's
 * manager.
 */
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

/** A lock on another connection would be released before the COMMIT of the transaction around it. */
function refuseInsideTransaction(names: LockNames, setting: Settings['insideTransaction']): void {
  if (setting === 'allow') return
  const name = namesOf(names).join("', '")
  const message =
    `The lock '${name}' was requested inside a running transaction of the same DataSource: it would be released before the COMMIT, ` +
    'and the transaction may read from before the lock. ' +
    `Either take the lock around the transaction: locks.transaction('${name}', (manager) => …), or withLock outside of it. ` +
    `Or keep the lock until the transaction has ended: locks.lockTransaction(manager, '${name}').`
  if (setting === 'error') throw new NamedLockInsideTransactionError(message)
  process.emitWarning(message, 'NamedLockWarning')
}

export function reentrancyRefused(name: string): NamedLockReentrancyError {
  return new NamedLockReentrancyError(
    `The lock '${name}' is already held by the running scope. Use the held lock, or pass reentrant: true to share it. ` +
      'Work that a scope starts and does not await belongs to that scope, too: start it outside if it is to wait for the lock.',
  )
}

/** Two readers that each wait for the other to leave, to hold the lock alone, would wait forever. */
export function refuseUpgrade({ name, isShared }: Target): void {
  if (!isShared) return
  throw new NamedLockReentrancyError(
    `The running scope holds the lock '${name}' together with other readers (mode: 'read'), and cannot hold it alone before it has released ` +
      "that. Take it with mode: 'write' from the beginning.",
  )
}

export function deadlockRefused(name: string, cycle: readonly string[]): NamedLockDeadlockError {
  return new NamedLockDeadlockError(
    `Waiting for the lock '${name}' would never end: ${cycle.map((one) => `'${one}'`).join(' → ')} wait for each other in this process. ` +
      'Take the locks in one order everywhere, or all of them in one call: withLock([...names], …).',
  )
}

/** Not even for a list of one name: which permit of which name a caller has would be `permits` as well. */
export function permitsOfSeveral(): NamedLockConfigurationError {
  return new NamedLockConfigurationError(
    'permits is an option for one name: pass the name itself, not a list of names. For permits of several names, acquire one inside the other.',
  )
}

/** A lock that ends with its transaction, or with the term of its leader. */
export function cannotBeReleased(name: string, lastsWith: 'transaction' | 'term'): Error {
  if (lastsWith === 'transaction') {
    return new NamedLockInsideTransactionError(
      `The lock '${name}' ends with its transaction: released before the COMMIT, it would let other callers read data that is not committed yet.`,
    )
  }
  return new NamedLockConfigurationError(
    `The lock '${name}' ends with the term of its leader: released earlier, it would let another process lead while the work still runs. ` +
      'Return from the work, or call resign() of the leadership.',
  )
}

export function outlivesTransaction(): NamedLockConfigurationError {
  return new NamedLockConfigurationError(
    "With pooling: 'transaction' only transaction(), lockTransaction(), runMigrations() and @WithNamedLock with transaction: true can take locks: " +
      'behind a pooler that pools transactions, a lock that outlives its transaction would be left on a connection that others use next. Use one of these; or a service ' +
      'on a DataSource that connects past the pooler.',
  )
}
