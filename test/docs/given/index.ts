import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'
interface Order {
  id: number
}
declare function settle(id: number): Promise<void>
declare function sellTicket(eventId: number, customer: string): Promise<Order>
declare function settleOrders(): Promise<void>
