import type { DataSourceLike } from './data-source-like.js'
import { NamedLockConfigurationError } from '../contract/errors.js'

/** Which family of servers a URL or a driver is about. */
const FAMILIES: Readonly<Record<string, string>> = {
  mysql: 'MySQL',
  mysql2: 'MySQL',
  mariadb: 'MySQL',
  postgres: 'PostgreSQL',
  postgresql: 'PostgreSQL',
}

/**
 * TypeORM takes the driver by `type` and never looks at what the URL begins with. A driver that speaks to a server of the other
 * family gets no answer that it knows: both sides wait for the other to begin, and after 10 s the driver reports a timeout that
 * names no reason.
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

/** The database that the DataSource works on, as configured or, once it is initialised, as the server says. */
export function databaseOf(dataSource: DataSourceLike): string | undefined {
  const configured = (dataSource.options as { database?: unknown }).database
  // TypeORM does not promise the driver's.
  const { driver } = dataSource as { driver?: { database?: string } }
  const name = driver?.database ?? (typeof configured === 'string' ? configured : undefined)
  return name === '' ? undefined : name
}
