import { Column, Entity, PrimaryColumn } from 'typeorm'

@Entity('named_lock_sample_event')
export class Event {
  @PrimaryColumn({ type: 'int' })
  id!: number

  @Column({ type: 'varchar', length: 100 })
  title!: string

  @Column({ type: 'int' })
  capacity!: number

  /** Tickets left: every sale reads it, checks it and writes it back. */
  @Column({ type: 'int' })
  available!: number

  /** The price of one ticket. */
  @Column({ type: 'int' })
  price!: number
}
