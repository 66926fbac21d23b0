import { Inject, Injectable, NotFoundException } from '@nestjs/common'
import { InjectRepository } from '@nestjs/typeorm'
import { Repository } from 'typeorm'
import { TERMINAL, TERMINALS } from './activity.js'
import { Event } from './entities/event.js'
import { Order } from './entities/order.js'
import { Till } from './entities/till.js'
import { NamedLockService, WithNamedLock } from './named-lock.js'
import { bank } from './outside.js'

@Injectable()
export class PaymentService {
  constructor(
    @InjectRepository(Event) private readonly events: Repository<Event>,
    @InjectRepository(Order) private readonly orders: Repository<Order>,
    @InjectRepository(Till) private readonly tills: Repository<Till>,
    @Inject(NamedLockService) private readonly locks: NamedLockService,
  ) {}

  /** The provider accepts three payments at a time, from all replicas together. */
  @WithNamedLock(TERMINAL, '2m', { permits: TERMINALS })
  async pay(orderId: number): Promise<Order> {
    const order = await this.orders.findOneBy({ id: orderId })
    if (!order) throw new NotFoundException(`There is no order ${orderId}`)
    return order.paid ? order : this.book(order)
  }

  /** Either the order is paid and the money is in the till, or neither. */
  @WithNamedLock(({ eventId }) => `till:${eventId}`, '2m', { transaction: true })
  async book({ id, eventId }: Order): Promise<Order> {
    const order = await this.orders.findOneByOrFail({ id })
    if (order.paid) return order // a second click on "Pay", which another replica has served meanwhile

    const { price } = await this.events.findOneByOrFail({ id: eventId })
    const { amount } = await this.tills.findOneByOrFail({ eventId })
    await bank.charge(order, price)
    await this.tills.update({ eventId }, { amount: amount + price })
    await this.orders.update({ id }, { paid: true })
    return { ...order, paid: true }
  }
}
