import { DataSource } from 'typeorm'
import type { ServerAddress } from '../../dev/servers/index.js'

/** The `lock_timeout` for manual waits in `pg_advisory_lock`, in milliseconds. The library sets its own. */
const LONGEST_WAIT = 60_000

export interface PoolOptions {
  /** Default 10, which is TypeORM's own. */
  readonly poolSize?: number
  readonly database?: string
  readonly entities?: (new () => object)[]
}

export async function openDataSource(address: ServerAddress, options: PoolOptions = {}): Promise<DataSource> {
  const { kind, host, port, username, password } = address
  const dataSource = new DataSource({
    type: kind,
    host,
    port,
    username,
    password,
    database: options.database ?? address.database,
    poolSize: options.poolSize ?? 10,
    entities: options.entities ?? [],
    ...(kind === 'postgres' && { installExtensions: false, extra: { lock_timeout: LONGEST_WAIT } }),
  })
  return dataSource.initialize()
}
