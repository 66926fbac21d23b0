import type { ScopedTransaction } from '../scope/lock-scope.js'
import type { Claim } from '../queue/claim.js'
import { recognisedAcrossCopies } from '../util/across-copies.js'
import type { LockedTransaction } from './locked-transaction.js'
import { Serial } from '../util/serial.js'

/**
 * A transaction or a savepoint inside it, for the scope that runs in it. Savepoints of one level run one after the other: on the
 * server they are a stack, and branches that run at the same time would end each other's.
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

/** A transaction that the application began itself. */
export class ForeignTransaction implements ScopedTransaction {
  readonly manager: unknown
  readonly isOurs = false
  #level: TransactionLevel | undefined

  constructor(manager: unknown) {
    this.manager = manager
  }

  /** The adopted transaction; undefined before the first lock in it, and after its end. */
  get level(): TransactionLevel | undefined {
    return this.#level
  }

  adoptedAs(level: TransactionLevel): void {
    this.#level = level
  }

  /** The transaction has ended. */
  end(): void {
    this.#level = undefined
  }

  get runner(): { readonly isTransactionActive: boolean } | undefined {
    return (this.manager as { queryRunner?: { isTransactionActive: boolean } } | undefined)?.queryRunner
  }

  get isActive(): boolean {
    return this.runner?.isTransactionActive === true
  }

  claimOf(key: string): Claim | undefined {
    return this.#level?.claimOf(key)
  }
}

recognisedAcrossCopies(TransactionLevel, 'TransactionLevel')
recognisedAcrossCopies(ForeignTransaction, 'ForeignTransaction')
