import type { TransactionOptions } from '../contract/options.js'
import type { RawConnection } from './raw-connection.js'

/** What the library uses of TypeORM's QueryRunner. */
export interface WorkRunner {
  readonly manager: unknown
  readonly isTransactionActive: boolean
  readonly isReleased: boolean
  connect(): Promise<RawConnection>
  release(): Promise<void>
  startTransaction(isolation?: TransactionOptions['isolation']): Promise<void>
  /** 1 in a transaction, more in its savepoints. TypeORM keeps it to itself. */
  readonly transactionDepth?: number
  commitTransaction(): Promise<void>
  rollbackTransaction(): Promise<void>
}
