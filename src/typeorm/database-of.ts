import type { DataSourceLike } from './data-source-like.js'
import { NamedLockConfigurationError } from '../contract/errors.js'

/** The family of servers for each URL scheme and driver type. */
const FAMILIES: Readonly<Record<string, string>> = {
  mysql: 'MySQL',
  mysql2: 'MySQL',
  mariadb: 'MySQL',
  postgres: 'PostgreSQL',
  postgresql: 'PostgreSQL',
}

/**
 * TypeORM selects the driver by `type` and ignores the scheme of the URL. A driver and a server of different families
 * wait for each other to begin, and after 10 s the driver reports a timeout without a reason.
 *
 * @throws NamedLockConfigurationError when type and URL of the DataSource contradict each other.
 */
export function refuseOtherScheme({ options }: DataSourceLike): void {
  const { type, url, replication } = options as { type: string; url?: unknown; replication?: Replication }
  for (const one of [url, replication?.master?.url]) {
    const scheme = typeof one === 'string' ? /^([a-z0-9+]+):\/\//i.exec(one)?.[1]?.toLowerCase() : undefined
    const meant = scheme === undefined ? undefined : FAMILIES[scheme]
    const driver = FAMILIES[type]
    if (meant === undefined || driver === undefined || meant === driver) continue
    throw new NamedLockConfigurationError(
      `The DataSource has type '${type}', but its url begins with ${scheme}://: the ${driver} driver cannot talk to ${meant}. ` +
        `Set type to '${meant === 'MySQL' ? 'mysql' : 'postgres'}', or change the url.`,
    )
  }
}

interface Replication {
  readonly master?: { readonly url?: unknown }
}

/** The name of the DataSource's database, as configured or, once it is initialised, as the server reports it. */
export function databaseOf(dataSource: DataSourceLike): string | undefined {
  const configured = (dataSource.options as { database?: unknown }).database
  // `driver.database` is not part of TypeORM's interface, so it may be missing.
  const { driver } = dataSource as { driver?: { database?: string } }
  const name = driver?.database ?? (typeof configured === 'string' ? configured : undefined)
  return name === '' ? undefined : name
}
