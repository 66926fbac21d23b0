import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm'

@Entity('named_lock_sample_event')
export class Event {
  @PrimaryGeneratedColumn({ type: 'int' })
  id!: number

  @Column({ type: 'varchar', length: 100 })
  title!: string

  @Column({ type: 'int' })
  capacity!: number

  /** Tickets left: every sale reads it, checks it and writes it back. */
  @Column({ type: 'int' })
  available!: number
}
