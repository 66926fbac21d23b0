import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import type { AcquireOptions } from '../contract/options.js'
import { show } from '../contract/settings.js'

/** Longer than any other wait: whoever runs them may be building an index, and a start that fails for it is started again. */
const TIMEOUT = '10m'

/** Migrations with tables of their own do not wait for each other. */
export function migrationsLock(dataSource: DataSourceLike): string {
  const { migrationsTableName } = dataSource.options as { migrationsTableName?: unknown }
  return `migrations:${typeof migrationsTableName === 'string' ? migrationsTableName : 'migrations'}`
}

/** What is the lock's, and what is TypeORM's; which options TypeORM has is for its own types to say. */
export function readMigrationOptions(given: unknown = {}): { lock: AcquireOptions; migrations: object } {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new NamedLockConfigurationError(
      `runMigrations: the options must be an object such as { transaction: 'each' }, not ${show(given)}.`,
    )
  }
  const { timeout = TIMEOUT, signal, ...migrations } = given as AcquireOptions
  return { lock: { timeout, signal }, migrations }
}
