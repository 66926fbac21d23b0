import { Repository } from 'typeorm'
import { NamedLockService, NamedLockTimeoutError, WithNamedLock } from 'typeorm-named-lock'
declare const locks: NamedLockService
interface Order {
  id: number
}
interface Seat {
  eventId: number
  number: number
}
declare function sellTicket(eventId: number, customer: string): Promise<Order>
declare function settleOrders(): Promise<void>
declare function takeFromStock(): Promise<void>
declare function writeReport(): Promise<string>
declare function importOrders(options: { signal: AbortSignal }): Promise<void>
