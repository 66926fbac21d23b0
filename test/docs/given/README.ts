import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'
interface Order {
  id: number
}
declare function sellTicket(eventId: number, customer: string): Promise<Order>
declare function settleOrders(): Promise<void>
