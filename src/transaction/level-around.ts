import { currentScope } from '../scope/lock-scope.js'
import { TransactionLevel } from './transaction-level.js'

/**
 * The `transaction` that a statement belongs to by where it is sent: the innermost of the DataSource around the running code. Not one
 * that the code is `outside` of, nor one with a transaction of the application inside it.
 *
 * One that ended without a COMMIT still counts, also for a branch that outlived its work (of a Promise.all of which another branch
 * threw): what such a branch writes must not stay. After a COMMIT a branch is free.
 */
export function levelAround(dataSource: object): TransactionLevel | undefined {
  for (let scope = currentScope(); scope; scope = scope.parent) {
    if (scope.dataSource !== dataSource) continue
    if (scope.isOutside) return undefined
    const { transaction } = scope
    if (!transaction) continue
    if (!(transaction instanceof TransactionLevel) || !transaction.isOurs) {
      if (transaction.isActive) return undefined
    } else if (transaction.isActive || !transaction.transaction.isCommitted) return transaction
  }
  return undefined
}
