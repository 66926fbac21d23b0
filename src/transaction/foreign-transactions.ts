import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { currentScope, LockScope, runInScope } from '../scope/lock-scope.js'
import { processWide } from '../util/process-wide.js'
import { ForeignTransaction } from './transaction-level.js'

type Method = (this: unknown, ...args: unknown[]) => unknown
interface Watched {
  users: number
  readonly stop: () => void
}

const watched = processWide('watched', () => new WeakMap<object, Watched>())

/**
 * Runs a scope around the transactions that the application starts with `dataSource.transaction` and `dataSource.manager.transaction`, so
 * that the code inside can find them: TypeORM does not report them, and a lock that is acquired there would be released before the
 * COMMIT. For this, one method of one object is replaced; it calls the original and changes nothing else. QueryRunners that the
 * application starts by hand stay unknown.
 *
 * @returns How to stop.
 */
export function watchTransactions(dataSource: DataSourceLike): () => void {
  const manager = dataSource.manager as { transaction?: Method } | undefined
  if (typeof manager?.transaction !== 'function') return () => {}
  let entry = watched.get(manager)
  if (!entry) watched.set(manager, (entry = { users: 0, stop: replace(dataSource, manager) }))
  const { stop } = entry
  entry.users++
  return () => {
    if (--entry.users > 0) return
    watched.delete(manager)
    stop()
  }
}

function replace(dataSource: DataSourceLike, manager: { transaction?: Method }): () => void {
  const own = Object.getOwnPropertyDescriptor(manager, 'transaction')
  const original = manager.transaction as Method
  const transaction: Method = function (this: unknown, ...args) {
    const at = args.findLastIndex((arg) => typeof arg === 'function')
    if (at >= 0) args[at] = inScope(dataSource, args[at] as Method)
    return original.apply(this, args)
  }
  Object.defineProperty(manager, 'transaction', { value: transaction, configurable: true, writable: true })
  return () => {
    if (manager.transaction !== transaction) return
    if (own) Object.defineProperty(manager, 'transaction', own)
    else delete manager.transaction
  }
}

function inScope(dataSource: DataSourceLike, work: Method): Method {
  return async function (this: unknown, manager, ...rest) {
    const scope = new LockScope(currentScope(), dataSource, [])
    scope.begin(undefined, new ForeignTransaction(manager))
    try {
      return await runInScope(scope, () => work.call(this, manager, ...rest))
    } finally {
      scope.end()
    }
  }
}
