import { ConflictException, Inject, Injectable, NotFoundException } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource } from 'typeorm'
import { Event } from './entities/event.js'
import { Order } from './entities/order.js'
import { NamedLockService, WithNamedLock } from './named-lock.js'
import { venue } from './outside.js'
import { SeatRepository } from './seat.repository.js'
import { settings } from './settings.js'

@Injectable()
export class OrderService {
  constructor(
    @InjectDataSource() private readonly dataSource: DataSource,
    /** Used by the decorator, which finds it among the properties of `this`. */
    @Inject(NamedLockService) private readonly locks: NamedLockService,
    @Inject(SeatRepository) private readonly seats: SeatRepository,
  ) {}

  /** Sells one ticket. */
  async buy(eventId: number, customer: string): Promise<Order> {
    if (!(await this.takeFromStock(eventId, customer))) throw new ConflictException('Sold out')
    const seatNumber = await this.seats.take(eventId)
    return this.dataSource.manager.save(Order, { eventId, customer, seatNumber, replica: settings.replica })
  }

  /**
   * Time passes between the check and the write. Only a lock shared by all replicas excludes the other buyers of this
   * event; buyers of other events do not wait.
   */
  @WithNamedLock((eventId) => `event:${eventId}`, '2m')
  async takeFromStock(eventId: number, customer: string): Promise<boolean> {
    const event = await this.dataSource.manager.findOneBy(Event, { id: eventId })
    if (!event) throw new NotFoundException(`There is no event ${eventId}`)
    if (event.available === 0) return false
    await venue.confirm(customer)
    await this.dataSource.manager.update(Event, { id: eventId }, { available: event.available - 1 })
    return true
  }
}
