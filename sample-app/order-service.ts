import type { DataSource } from 'typeorm'
import { bank } from './bank.js'
import { Event } from './entities/event.js'
import { Order } from './entities/order.js'
import { NamedLockService, WithNamedLock } from './named-lock.js'
import type { SeatRepository } from './seat-repository.js'

export class OrderService {
  constructor(
    private readonly dataSource: DataSource,
    /** Injected for the decorator, which finds it among the properties of `this`. */
    private readonly locks: NamedLockService,
    private readonly seats: SeatRepository,
    private readonly replica: number,
  ) {}

  /** Sells one ticket; null when there are none left. */
  async buy(eventId: number, customer: string): Promise<Order | null> {
    if (!(await this.takeFromStock(eventId, customer))) return null
    const seatNumber = await this.seats.take(eventId)
    return this.dataSource.manager.save(Order, { eventId, customer, seatNumber, replica: this.replica })
  }

  /**
   * Time passes between the check and the write. Only a lock that all replicas share keeps the other buyers of this event
   * out of it; buyers of other events do not wait.
   */
  @WithNamedLock((eventId) => `event:${eventId}`, '2m')
  async takeFromStock(eventId: number, customer: string): Promise<boolean> {
    const event = await this.dataSource.manager.findOneByOrFail(Event, { id: eventId })
    if (event.available === 0) return false
    await bank.charge(customer)
    await this.dataSource.manager.update(Event, { id: eventId }, { available: event.available - 1 })
    return true
  }
}
