import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm'

/**
 * A seat that was given to somebody. A real shop would also have a unique index on event and number: the lock keeps
 * buyers out of each other's way, the index catches whoever writes without the lock. Here it would hide what happens.
 */
@Entity('named_lock_sample_seat')
export class Seat {
  @PrimaryGeneratedColumn({ type: 'int' })
  id!: number

  @Column({ type: 'int' })
  eventId!: number

  @Column({ type: 'int' })
  number!: number
}
