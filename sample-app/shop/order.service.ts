import { ConflictException, Inject, Injectable, NotFoundException } from '@nestjs/common'
import { InjectRepository } from '@nestjs/typeorm'
import { Repository } from 'typeorm'
import { Event } from './entities/event.js'
import { Order } from './entities/order.js'
import { NamedLockService, WithNamedLock } from './named-lock.js'
import { venue } from './outside.js'
import { SeatRepository } from './seat.repository.js'
import { settings } from './settings.js'

@Injectable()
export class OrderService {
  constructor(
    @InjectRepository(Event) private readonly events: Repository<Event>,
    @InjectRepository(Order) private readonly orders: Repository<Order>,
    @Inject(SeatRepository) private readonly seats: SeatRepository,
    /** Used by the decorator, which finds it among the properties of `this`. */
    @Inject(NamedLockService) private readonly locks: NamedLockService,
  ) {}

  /**
   * Sells one ticket. Time passes between the check and the write: only a lock shared by all replicas excludes the other
   * buyers of this event. Buyers of other events do not wait.
   *
   * `transaction: true`: the injected repositories work in one transaction on the lock's connection, and the lock is
   * released after the COMMIT. If this replica is killed, no ticket is lost: stock, seat and order change together or not
   * at all.
   */
  @WithNamedLock((eventId) => `event:${eventId}`, '2m', { transaction: true })
  async buy(eventId: number, customer: string): Promise<Order> {
    const event = await this.events.findOneBy({ id: eventId })
    if (!event) throw new NotFoundException(`There is no event ${eventId}`)
    if (event.available === 0) throw new ConflictException('Sold out')

    await venue.confirm(customer)
    await this.events.update({ id: eventId }, { available: event.available - 1 })
    const seatNumber = await this.seats.take(eventId)
    return this.orders.save({ eventId, customer, seatNumber, replica: settings.replica, paid: false, settled: false })
  }
}
