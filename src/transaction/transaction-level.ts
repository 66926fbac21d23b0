import type { HeldLock } from '../acquire/held-lock.js'
import type { Settings } from '../contract/settings.js'
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
  /** The call that runs it; undefined for a transaction of the application. */
  readonly call: TransactionCall | undefined
  #savepoints: Serial | undefined

  constructor(transaction: LockedTransaction, call?: TransactionCall) {
    this.transaction = transaction
    this.call = call
  }

  get isOurs(): boolean {
    return this.call !== undefined
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

/** What a call of `transaction` lays down for the statements inside it. */
export interface TransactionCall {
  /** The lock that the outermost call holds for the transaction. */
  readonly lock: HeldLock
  readonly settings: Pick<Settings, 'ambientTransactions' | 'outsideTransaction'>
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
