import {
  NamedLockConfigurationError,
  NamedLockDeadlockError,
  NamedLockInsideTransactionError,
  NamedLockReentrancyError,
} from '../contract/errors.js'
import type { LockNames, NamedLockServiceOptions } from '../contract/options.js'
import type { CallSettings, Settings } from '../contract/settings.js'
import { because, withAddress } from '../contract/troubleshooting.js'
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
    `Lock '${name}' was requested inside an open transaction of the same DataSource. It would be released before the COMMIT, ` +
    'and the transaction may already have read stale data. ' +
    `Either wrap the transaction: locks.transaction('${name}', (manager) => …), or withLock around it; ` +
    `or hold the lock until it ends: locks.lockTransaction(manager, '${name}').`
  if (setting === 'error') throw new NamedLockInsideTransactionError(message)
  process.emitWarning(withAddress(message, 'INSIDE_TRANSACTION'), 'NamedLockWarning')
}

export function reentrancyRefused(name: string): NamedLockReentrancyError {
  return new NamedLockReentrancyError(
    `Lock '${name}' is already held by the running scope. Use the held lock, or pass reentrant: true to share it. ` +
      'Work that a scope starts without awaiting it belongs to that scope: start it outside if it has to wait for the lock.',
  )
}

/**
 * What a call shares with the scope around it must exclude all that the call wants to exclude. A reader is beside other readers: two that
 * each waited for the other to leave, to hold the lock alone, would wait forever. And a permit of `permits: 5` is beside the ones below it.
 */
export function refuseUpgrade({ name, isShared, permit }: Target, { mode, permits }: CallSettings): void {
  if (isShared && mode !== 'read') {
    throw new NamedLockReentrancyError(
      `Lock '${name}' is held by the running scope together with other readers (mode: 'read'), so the scope cannot become its writer. ` +
        "Acquire it with mode: 'write' in the first place.",
    )
  }
  if (permit !== undefined && permits !== undefined && permit >= permits) {
    throw new NamedLockReentrancyError(
      `The running scope holds permit ${permit} of '${name}', which a call with permits: ${permits} may not hold. Pass the same number of ` +
        'permits inside as outside, or the smaller one outside.',
    )
  }
}

export function deadlockRefused(name: string, cycle: readonly string[]): NamedLockDeadlockError {
  return new NamedLockDeadlockError(
    `Deadlock: ${[...cycle, name].map((one) => `'${one}'`).join(' → ')} in this process. The wait for lock '${name}' would never end. ` +
      'Acquire the locks in the same order everywhere, or all of them in one call: withLock([...names], …).',
  )
}

/** Not even for a list of one name: which permit of which name a caller has would be `permits` as well. */
export function permitsOfSeveral(): NamedLockConfigurationError {
  return new NamedLockConfigurationError(
    'permits is an option for one name: pass the name itself, not a list. For permits of several names, acquire one inside the other.',
  )
}

/** A lock that ends with its transaction, or with the term of its leader. */
export function cannotBeReleased(name: string, lastsWith: 'transaction' | 'term'): Error {
  if (lastsWith === 'transaction') {
    return new NamedLockInsideTransactionError(
      `Lock '${name}' ends with its transaction. Released before the COMMIT, it would let other callers read data that is not committed yet.`,
    )
  }
  return new NamedLockConfigurationError(
    `Lock '${name}' ends with the term of its leader. Released earlier, it would let another process lead while the work still runs. ` +
      'Return from the work, or call resign() of the leadership.',
  )
}

export function outlivesTransaction(): NamedLockConfigurationError {
  return new NamedLockConfigurationError(
    because(
      'pooling-transaction',
      "With pooling: 'transaction' only transaction(), runOnce(), lockTransaction(), runMigrations() and @WithNamedLock with transaction: true can " +
        'acquire locks: behind a transaction pooler, a lock that outlives its transaction would stay on a connection that other clients use next. ' +
        'Use one of these, or a service on a DataSource that connects past the pooler.',
    ),
  )
}
