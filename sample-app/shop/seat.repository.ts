import { Injectable } from '@nestjs/common'
import { InjectDataSource } from '@nestjs/typeorm'
import { DataSource, Repository } from 'typeorm'
import { Seat } from './entities/seat.js'
import { assertHeld } from './named-lock.js'

/** Assigns seats. Like all repositories of the DataSource, it takes part in the transaction of its caller. */
@Injectable()
export class SeatRepository extends Repository<Seat> {
  constructor(@InjectDataSource() dataSource: DataSource) {
    super(Seat, dataSource.manager)
  }

  /** Takes the next seat of the event, under the lock of its caller. */
  async take(eventId: number): Promise<number> {
    assertHeld(`event:${eventId}`)
    const number = ((await this.maximum('number', { eventId })) ?? 0) + 1
    await this.insert({ eventId, number })
    return number
  }
}
