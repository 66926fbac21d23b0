import { Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, Repository } from 'typeorm'
import { Seat } from './entities/seat.js'
import { WithNamedLock } from './named-lock.js'

/** Assigns seats. It needs no NamedLockService: the decorator finds the DataSource's own through `this.manager`. */
@Injectable()
export class SeatRepository extends Repository<Seat> {
  constructor(@InjectDataSource() dataSource: DataSource) {
    super(Seat, dataSource.manager)
  }

  /** Takes the next seat of the event. */
  @WithNamedLock((eventId) => `seats:${eventId}`, '2m')
  async take(eventId: number): Promise<number> {
    const number = ((await this.maximum('number', { eventId })) ?? 0) + 1
    await this.insert({ eventId, number })
    return number
  }
}
