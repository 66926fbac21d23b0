import * as typeorm1 from 'typeorm'
import type { DataSource } from 'typeorm'
import * as typeorm03 from 'typeorm03'
import type { SqlAddress } from './sql-client.js'

export type { DataSource } from 'typeorm'

/** A major version of TypeORM. Tests use both through the types of 1.x; the members that they use are the same. */
export interface Typeorm {
  readonly name: string
  /** The module name for `require`, for child processes. */
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
  /** Any other option, or one of these with a value that its type does not allow. */
  more?: Record<string, unknown> | undefined
}

/** A DataSource of that major version, not initialised. */
export function makeDataSource(
  typeorm: Typeorm,
  address: SqlAddress & { kind: string; database: string },
  { poolSize, extra, entities = [], more }: TestDataSourceOptions = {},
): DataSource {
  return new typeorm.module.DataSource({
    type: address.kind as 'mysql' | 'mariadb' | 'postgres',
    host: address.host,
    port: address.port,
    username: address.username,
    password: address.password,
    database: address.database,
    entities: entities.map((options) => new typeorm.module.EntitySchema(options)),
    ...(poolSize === undefined ? {} : { poolSize }),
    ...(extra === undefined ? {} : { extra }),
    ...more,
  })
}

/** The members of mysql2's pool that the tests use. */
export interface RawPool {
  on(event: 'connection', listener: (connection: RawConnection) => void): void
  readonly _allConnections: { readonly length: number; get(index: number): RawConnection | undefined }
  readonly _freeConnections: { readonly length: number }
}

export interface RawConnection {
  /** The server's id of the connection, under the names of mysql2 and pg. */
  readonly threadId?: number
  readonly processID?: number
  query: (...args: any[]) => unknown
  listenerCount(event: string): number
}

export function poolOf(dataSource: DataSource): RawPool {
  ;(dataSource as { needsServer?: (what: string) => never }).needsServer?.('SQL')
  const driver = dataSource.driver as unknown as {
    pool?: RawPool
    poolCluster?: { _nodes: Record<string, { pool: RawPool }> }
  }
  return (driver.pool ?? driver.poolCluster?._nodes.MASTER?.pool) as RawPool
}

/** The pool of pg, if the DataSource has one. */
interface PgPool {
  on(event: 'connect', listener: (connection: RawConnection) => void): void
  readonly totalCount: number
  readonly options: { host: string; user: string }
  readonly idleCount: number
  readonly _clients: readonly RawConnection[]
}

function pgPoolOf(dataSource: DataSource): PgPool | undefined {
  return (dataSource.driver as unknown as { master?: PgPool } | undefined)?.master
}

/** The options of new connections of its pool; they may be changed. */
export function loginOf(dataSource: DataSource): { host: string; user: string } {
  const pg = pgPoolOf(dataSource)
  if (pg) return pg.options
  return (poolOf(dataSource) as unknown as { config: { connectionConfig: { host: string; user: string } } }).config
    .connectionConfig
}

/** Calls `listener` with every new connection of the pool. */
export function onNewConnection(dataSource: DataSource, listener: (connection: RawConnection) => void): void {
  const pg = pgPoolOf(dataSource)
  if (pg) pg.on('connect', listener)
  else poolOf(dataSource).on('connection', listener)
}

/** The number of connections borrowed from the pool and not yet returned. */
export function borrowedConnections(dataSource: DataSource): number {
  const pg = pgPoolOf(dataSource)
  if (pg) return pg.totalCount - pg.idleCount
  const pool = poolOf(dataSource)
  return pool._allConnections.length - pool._freeConnections.length
}

export function connectionsIn(dataSource: DataSource): RawConnection[] {
  const pg = pgPoolOf(dataSource)
  if (pg) return [...pg._clients]
  const { _allConnections: all } = poolOf(dataSource)
  return Array.from({ length: all.length }, (_, index) => all.get(index)).filter((one) => one !== undefined)
}

export function idOf({ threadId, processID }: RawConnection): string {
  return String(threadId ?? processID)
}
