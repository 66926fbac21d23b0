import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm'

/** Money that went to the organiser of an event. Two of them for one order: the shop paid twice. */
@Entity('named_lock_sample_payout')
export class Payout {
  @PrimaryGeneratedColumn({ type: 'int' })
  id!: number

  @Column({ type: 'int' })
  orderId!: number

  /** The replica that paid, for the report. */
  @Column({ type: 'int' })
  replica!: number
}
