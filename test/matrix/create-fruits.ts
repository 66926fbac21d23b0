import { setTimeout as sleep } from 'node:timers/promises'
import type { MigrationInterface, QueryRunner } from 'typeorm'

/** The migration of every row; two that run at a time would collide. */
export class CreateFruits implements MigrationInterface {
  readonly name = 'CreateFruits1700000000001'

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE TABLE fruits (id INT PRIMARY KEY)')
    await sleep(5)
  }

  async down(): Promise<void> {}
}
