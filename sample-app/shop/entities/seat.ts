import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm'

/**
 * A seat that was sold. A real shop would also have a unique index on event and number: the lock excludes other buyers,
 * the index catches writes without the lock. Here it would hide the effect of missing locks.
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
