import { Table, type MigrationInterface, type QueryRunner } from 'typeorm'

const id = { name: 'id', type: 'int', isPrimary: true }
const generatedId = { ...id, isGenerated: true, generationStrategy: 'increment' as const }
const number = (name: string) => ({ name, type: 'int' })
const text = (name: string) => ({ name, type: 'varchar', length: '100' })
const flag = (name: string) => ({ name, type: 'boolean', default: 'false' })

const tables = [
  new Table({
    name: 'named_lock_sample_event',
    columns: [id, text('title'), number('capacity'), number('available'), number('price')],
  }),
  new Table({
    name: 'named_lock_sample_till',
    columns: [{ ...id, name: 'eventId' }, number('amount')],
  }),
  new Table({
    name: 'named_lock_sample_seat',
    columns: [generatedId, number('eventId'), number('number')],
  }),
  new Table({
    name: 'named_lock_sample_order',
    columns: [
      generatedId,
      number('eventId'),
      text('customer'),
      number('seatNumber'),
      number('replica'),
      flag('paid'),
      flag('settled'),
    ],
  }),
  new Table({
    name: 'named_lock_sample_payout',
    columns: [generatedId, number('orderId'), number('replica')],
  }),
]

/** If two replicas ran it at once, both would find no table, and the second one would fail to create it. */
export class CreateTables1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const table of tables) await runner.createTable(table)
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const table of tables) await runner.dropTable(table)
  }
}
