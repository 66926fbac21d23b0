import type { TransactionOptions } from '../contract/options.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { currentScope, LockScope, runInScope } from '../scope/lock-scope.js'
import { outside } from '../util/outside.js'
import { processWide } from '../util/process-wide.js'
import { WhileUsed } from '../util/while-used.js'
import { nestedIsolation, noLongerActive } from './checks.js'
import { levelAround } from './level-around.js'
import { ForeignTransaction, TransactionLevel } from './transaction-level.js'

type Isolation = TransactionOptions['isolation']
type Method = (this: unknown, ...args: unknown[]) => unknown

const watched = processWide('transactions', () => new WhileUsed())

/**
 * Runs a scope around the transactions that the application starts with `dataSource.transaction` and `dataSource.manager.transaction`, so
 * that the code inside can find them: TypeORM does not report them, and a lock that is acquired there would be released before the
 * COMMIT. For this, one method of one object is replaced; it calls the original and changes nothing else. QueryRunners that the
 * application starts by hand stay unknown.
 *
 * Inside `locks.transaction` with `ambientTransactions`, the transaction of the application is a savepoint of the library's.
 *
 * @param scoped The DataSource by which scopes know their transactions: another one than `dataSource` where locks are in memory.
 * @returns How to stop.
 */
export function watchTransactions(dataSource: DataSourceLike, scoped: object): () => void {
  // Outside: typeorm-transactional returns the manager of the transaction around the running code instead.
  const manager = outside(() => dataSource.manager) as { transaction?: Method } | undefined
  if (typeof manager?.transaction !== 'function') return () => {}
  return watched.start(scoped, () => replace(scoped, manager))
}

function replace(scoped: object, manager: { transaction?: Method }): () => void {
  const own = Object.getOwnPropertyDescriptor(manager, 'transaction')
  const original = manager.transaction as Method
  const transaction: Method = function (this: unknown, ...args) {
    const at = args.findLastIndex((arg) => typeof arg === 'function')
    if (at < 0) return original.apply(this, args)
    const work = args[at] as Method
    const level = levelAround(scoped)
    if (level?.isActive && level.call?.settings.ambientTransactions) {
      return joined(level, scoped, typeof args[0] === 'string' ? (args[0] as Isolation) : undefined, work)
    }
    args[at] = inScope(scoped, work)
    return original.apply(this, args)
  }
  Object.defineProperty(manager, 'transaction', { value: transaction, configurable: true, writable: true })
  return () => {
    if (manager.transaction !== transaction) return
    if (own) Object.defineProperty(manager, 'transaction', own)
    else delete manager.transaction
  }
}

function inScope(scoped: object, work: Method): Method {
  return async function (this: unknown, manager, ...rest) {
    const scope = new LockScope(currentScope(), scoped, [])
    scope.begin(undefined, new ForeignTransaction(manager))
    try {
      return await runInScope(scope, () => work.call(this, manager, ...rest))
    } finally {
      scope.end()
    }
  }
}

/** Runs work in a savepoint of the transaction around it, as `locks.transaction` inside itself does. */
async function joined(level: TransactionLevel, scoped: object, isolation: Isolation, work: Method): Promise<unknown> {
  const { transaction, call } = level
  nestedIsolation(isolation, transaction.isolation)
  return level.savepoints.run(async () => {
    if (!level.isActive || !call) throw noLongerActive(transaction.locks)
    const scope = new LockScope(currentScope(), scoped, [])
    scope.begin(undefined, new TransactionLevel(transaction, call))
    return transaction.runNested(call.lock, async () => {
      try {
        return await runInScope(scope, () => work(level.manager))
      } finally {
        scope.end()
      }
    })
  })
}
