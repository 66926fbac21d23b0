import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm'

@Entity('named_lock_sample_order')
export class Order {
  @PrimaryGeneratedColumn({ type: 'int' })
  id!: number

  @Column({ type: 'int' })
  eventId!: number

  @Column({ type: 'varchar', length: 100 })
  customer!: string

  @Column({ type: 'int' })
  seatNumber!: number

  /** The replica that sold it, for the report. */
  @Column({ type: 'int' })
  replica!: number

  @Column({ type: 'boolean', default: false })
  paid!: boolean

  @Column({ type: 'boolean', default: false })
  settled!: boolean
}
