import { Repository, type DataSource } from 'typeorm'
import { Seat } from './entities/seat.js'
import { WithNamedLock } from './named-lock.js'

/** Gives out seats. It needs no NamedLockService: the decorator finds the DataSource's own through `this.manager`. */
export class SeatRepository extends Repository<Seat> {
  constructor(dataSource: DataSource) {
    super(Seat, dataSource.manager)
  }

  /** The next seat of the event. */
  @WithNamedLock((eventId) => `seats:${eventId}`, '2m')
  async take(eventId: number): Promise<number> {
    const number = ((await this.maximum('number', { eventId })) ?? 0) + 1
    await this.insert({ eventId, number })
    return number
  }
}
