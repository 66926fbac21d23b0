import { DataSource } from 'typeorm'
import type { ServerAddress } from '../../dev/servers/index.js'

export interface PoolOptions {
  /** Default 10, which is TypeORM's own. */
  readonly poolSize?: number
  readonly database?: string
  readonly entities?: (new () => object)[]
}

export async function openDataSource(address: ServerAddress, options: PoolOptions = {}): Promise<DataSource> {
  const { kind, host, port, username, password } = address
  if (kind === 'postgres') throw new Error('The benchmark runs on MySQL and MariaDB')
  const dataSource = new DataSource({
    type: kind,
    host,
    port,
    username,
    password,
    database: options.database ?? address.database,
    poolSize: options.poolSize ?? 10,
    entities: options.entities ?? [],
  })
  return dataSource.initialize()
}
