import * as typeorm1 from 'typeorm'
import type { DataSource } from 'typeorm'
import * as typeorm03 from 'typeorm03'
import type { SqlAddress } from './sql-client.js'

export type { DataSource } from 'typeorm'

/** A major version of TypeORM. Tests see both through the types of 1.x; what they use of them is the same. */
export interface Typeorm {
  readonly name: string
  /** What `require` finds it by, for child processes. */
  readonly packageName: 'typeorm' | 'typeorm03'
  readonly module: typeof typeorm1
}

export const typeorms: readonly Typeorm[] = [
  { name: 'TypeORM 1.x', packageName: 'typeorm', module: typeorm1 },
  { name: 'TypeORM 0.3', packageName: 'typeorm03', module: typeorm03 as unknown as typeof typeorm1 },
]

export interface TestDataSourceOptions {
  poolSize?: number | undefined
  /** Options for mysql2 itself. */
  extra?: Record<string, unknown> | undefined
  entities?: ConstructorParameters<typeof typeorm1.EntitySchema>[0][] | undefined
}

/** A DataSource of that major, not initialised yet. */
export function makeDataSource(
  typeorm: Typeorm,
  address: SqlAddress & { kind: string; database: string },
  { poolSize, extra, entities = [] }: TestDataSourceOptions = {},
): DataSource {
  return new typeorm.module.DataSource({
    type: address.kind as 'mysql' | 'mariadb',
    host: address.host,
    port: address.port,
    username: address.username,
    password: address.password,
    database: address.database,
    entities: entities.map((options) => new typeorm.module.EntitySchema(options)),
    ...(poolSize === undefined ? {} : { poolSize }),
    ...(extra === undefined ? {} : { extra }),
  })
}

/** A pool of mysql2, as far as the tests look into it. */
export interface RawPool {
  on(event: 'connection', listener: (connection: RawConnection) => void): void
  readonly _allConnections: { readonly length: number; get(index: number): RawConnection | undefined }
  readonly _freeConnections: { readonly length: number }
}

export interface RawConnection {
  readonly threadId: number
  query: (...args: any[]) => unknown
  listenerCount(event: string): number
}

export function poolOf(dataSource: DataSource): RawPool {
  ;(dataSource as { needsServer?: (what: string) => never }).needsServer?.('a pool')
  return (dataSource.driver as unknown as { pool: RawPool }).pool
}

/** Connections that somebody has taken from the pool and not given back. */
export function borrowedConnections(dataSource: DataSource): number {
  const pool = poolOf(dataSource)
  return pool._allConnections.length - pool._freeConnections.length
}

export function connectionsIn(dataSource: DataSource): RawConnection[] {
  const { _allConnections: all } = poolOf(dataSource)
  return Array.from({ length: all.length }, (_, index) => all.get(index)).filter((one) => one !== undefined)
}
