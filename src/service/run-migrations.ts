import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import type { AcquireOptions } from '../contract/options.js'
import { show } from '../util/show.js'

/** Longer than any other wait: the process that runs the migrations may be building an index, and a start that times out is repeated. */
const TIMEOUT = '10m'

/** Migrations with tables of their own do not wait for each other. */
export function migrationsLock(dataSource: DataSourceLike): string {
  const { migrationsTableName } = dataSource.options as { migrationsTableName?: unknown }
  return `migrations:${typeof migrationsTableName === 'string' ? migrationsTableName : 'migrations'}`
}

/** Splits the options into the lock's and TypeORM's. TypeORM's are not checked here: its own types say which there are. */
export function readMigrationOptions(given: unknown = {}): { lock: AcquireOptions; migrations: object } {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new NamedLockConfigurationError(
      `runMigrations: the options must be an object such as { transaction: 'each' }; got ${show(given)}.`,
    )
  }
  const { timeout = TIMEOUT, signal, ...migrations } = given as AcquireOptions
  return { lock: { timeout, signal }, migrations }
}
