import { Column, Entity, PrimaryColumn } from 'typeorm'

/** The till of an event. */
@Entity('named_lock_sample_till')
export class Till {
  @PrimaryColumn({ type: 'int' })
  eventId!: number

  /** The money in it: every payment reads it, adds to it and writes it back. */
  @Column({ type: 'int' })
  amount!: number
}
