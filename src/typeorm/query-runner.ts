import type { TransactionOptions } from '../contract/options.js'
import type { RawConnection } from './raw-connection.js'

/** The members of TypeORM's QueryRunner that the library uses. */
export interface WorkRunner {
  readonly manager: unknown
  readonly isTransactionActive: boolean
  readonly isReleased: boolean
  connect(): Promise<RawConnection>
  release(): Promise<void>
  startTransaction(isolation?: TransactionOptions['isolation']): Promise<void>
  /** 1 in a transaction, more in its savepoints. Internal to TypeORM, so it may be missing. */
  readonly transactionDepth?: number
  commitTransaction(): Promise<void>
  rollbackTransaction(): Promise<void>
}
