import { Cron } from '@nestjs/schedule'
import { type EntityManager } from 'typeorm'
import { NamedLockService, WithNamedLock } from 'typeorm-named-lock'
class Order {
  id!: number
  paid!: boolean
}
class OutboxMessage {
  id!: string
  sent!: boolean
}
interface StripeEvent {
  id: string
  orderId: number
}
declare const locks: NamedLockService
declare const event: StripeEvent
declare const job: { id: string; acknowledge(): Promise<void> }
declare function settle(manager: EntityManager, event: StripeEvent): Promise<void>
declare function makeReport(manager: EntityManager): Promise<void>
declare function work(manager: EntityManager, one: typeof job): Promise<void>
declare function nextMessages(): Promise<{ id: string }[]>
declare function publish(message: { id: string }, options: { idempotencyKey: string }): Promise<void>
