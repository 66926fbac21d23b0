import type { DataSourceLike } from '../data-source-like.js'

/** The database that the DataSource works on, as configured or, once it is initialised, as the server says. */
export function databaseOf(dataSource: DataSourceLike): string | undefined {
  const configured = (dataSource.options as { database?: unknown }).database
  // TypeORM does not promise the driver's.
  const { driver } = dataSource as { driver?: { database?: string } }
  const name = driver?.database ?? (typeof configured === 'string' ? configured : undefined)
  return name === '' ? undefined : name
}
