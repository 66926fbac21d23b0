import type { ScopedTransaction } from '../scope/lock-scope.js'
import type { Claim } from '../queue/claim.js'
import { recognisedAcrossCopies } from '../util/across-copies.js'
import type { LockedTransaction } from './locked-transaction.js'
import { Serial } from '../util/serial.js'

/**
 * A transaction or a savepoint inside it, as the scope that runs in it sees it. Savepoints of one level are taken one after the
 * other: on the server they are a stack, and branches that run side by side would end each other's.
 */
export class TransactionLevel implements ScopedTransaction {
  readonly transaction: LockedTransaction
  readonly isOurs: boolean
  #savepoints: Serial | undefined

  constructor(transaction: LockedTransaction, isOurs: boolean) {
    this.transaction = transaction
    this.isOurs = isOurs
  }

  get savepoints(): Serial {
    return (this.#savepoints ??= new Serial())
  }

  get manager(): unknown {
    return this.transaction.locks.runner.manager
  }

  get isActive(): boolean {
    return this.transaction.locks.isActive
  }

  claimOf(key: string): Claim | undefined {
    return this.transaction.locks.claimOf(key)
  }
}

/** A transaction that the application began itself; `level` as soon as a lock is taken in it. */
export class ForeignTransaction implements ScopedTransaction {
  readonly manager: unknown
  readonly isOurs = false
  level: TransactionLevel | undefined

  constructor(manager: unknown) {
    this.manager = manager
  }

  get runner(): { readonly isTransactionActive: boolean } | undefined {
    return (this.manager as { queryRunner?: { isTransactionActive: boolean } } | undefined)?.queryRunner
  }

  get isActive(): boolean {
    return this.runner?.isTransactionActive === true
  }

  claimOf(key: string): Claim | undefined {
    return this.level?.claimOf(key)
  }
}

recognisedAcrossCopies(TransactionLevel, 'TransactionLevel')
recognisedAcrossCopies(ForeignTransaction, 'ForeignTransaction')
