import type { DataSource } from 'typeorm'
import type { NamedLockService } from '../service/named-lock-service.js'
import { ExitCode, UserError } from './exit-codes.js'
import { printable } from './format.js'
import { withOutputOnStderr } from './output.js'

export interface MigrateFlags {
  readonly timeout: number
  readonly transaction?: 'all' | 'none' | 'each'
  readonly fake?: boolean
}

/**
 * Runs the pending migrations and prints their names. Output of TypeORM and of the migrations goes to stderr: stdout is
 * for the result.
 *
 * A DataSource without any migrations is refused. A pattern that matches no file (sources not compiled yet, a wrong
 * working directory) looks the same, and "nothing is pending" would let a start script continue with an old schema.
 */
export async function migrate(
  locks: NamedLockService,
  dataSource: DataSource,
  { timeout, transaction, fake }: MigrateFlags,
): Promise<void> {
  if (dataSource.migrations.length === 0) {
    throw new UserError(
      'The DataSource has no migrations: its `migrations` option is missing or empty, or its patterns match no file. Nothing was run.',
      ExitCode.configuration,
    )
  }
  const options = { timeout, ...(transaction && { transaction }), ...(fake && { fake }) }
  const applied = await withOutputOnStderr(() => locks.runMigrations(options))
  const { length } = applied
  const names = applied.map(({ name }) => printable(name)).join(', ')
  console.log(
    length === 0 ? 'No migrations are pending.' : `${length} migration${length > 1 ? 's' : ''} applied: ${names}.`,
  )
}
