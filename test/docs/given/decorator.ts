import { DataSource, Repository } from 'typeorm'
import { NamedLock, NamedLockService, NamedLockTimeoutError, WithNamedLock } from 'typeorm-named-lock'
interface Receipt {
  id: number
}
interface Order {
  id: number
  paid: boolean
}
class Stock {
  id!: number
  left!: number
}
declare const dataSource: DataSource
declare function charge(id: number): Promise<Receipt>
declare function settleOrders(): Promise<void>
declare function readRates(): Promise<number[]>
declare function lastKnownRates(): number[]
