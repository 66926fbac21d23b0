import { Inject, Injectable, NotFoundException } from '@nestjs/common'
import { Event } from './entities/event.js'
import { Order } from './entities/order.js'
import { NamedLockService, WithNamedLock } from './named-lock.js'
import { bank } from './outside.js'

@Injectable()
export class PaymentService {
  constructor(@Inject(NamedLockService) private readonly locks: NamedLockService) {}

  async pay(orderId: number): Promise<Order> {
    const order = await this.locks.manager.findOneBy(Order, { id: orderId })
    if (!order) throw new NotFoundException(`There is no order ${orderId}`)
    return order.paid ? order : this.book(order)
  }

  /**
   * `transaction: true`: the lock, then a transaction on the same connection; the lock is released after the COMMIT.
   * Either the order is paid and the money is in the till, or neither. If the connection dies, no other replica can
   * have written in between.
   */
  @WithNamedLock((order) => `till:${order.eventId}`, '2m', { transaction: true })
  async book(order: Order): Promise<Order> {
    const { manager } = this.locks // the manager of the transaction
    const event = await manager.findOneByOrFail(Event, { id: order.eventId })
    await bank.charge(order.customer, event.price)
    await manager.update(Event, { id: event.id }, { till: event.till + event.price })
    await manager.update(Order, { id: order.id }, { paid: true })
    return { ...order, paid: true }
  }
}
