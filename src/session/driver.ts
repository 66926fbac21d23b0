import type { DataSourceLike } from '../data-source-like.js'

/** What the library looks at of a DataSource's driver, all of it optional: TypeORM does not promise any of it. */
interface DriverLike {
  readonly database?: string | undefined
  readonly pool?: PoolLike | undefined
  /** In the place of the pool, with `replication`. */
  readonly poolCluster?: { readonly _nodes?: Readonly<Record<string, { readonly pool?: PoolLike }>> } | undefined
}

/** mysql2's pool: `enqueue` is emitted when a caller has to wait for a connection. */
interface PoolLike {
  on?(event: 'enqueue', listener: () => void): unknown
  removeListener?(event: 'enqueue', listener: () => void): unknown
  readonly _closed?: boolean
  readonly _connectionQueue?: { readonly length: number }
  readonly _allConnections?: { readonly length: number; get(index: number): { destroy(): void } | undefined }
}

function driverOf(dataSource: DataSourceLike): DriverLike | undefined {
  return (dataSource as { driver?: DriverLike }).driver
}

/** The database that the DataSource works on, as configured or, once it is initialised, as the server says. */
export function databaseOf(dataSource: DataSourceLike): string | undefined {
  const configured = (dataSource.options as { database?: unknown }).database
  const name = driverOf(dataSource)?.database ?? (typeof configured === 'string' ? configured : undefined)
  return name === '' ? undefined : name
}

/** How many connections the DataSource's pool may open. */
export function poolSizeOf(dataSource: DataSourceLike): number {
  const { poolSize, extra } = dataSource.options as { poolSize?: unknown; extra?: { connectionLimit?: unknown } }
  for (const size of [extra?.connectionLimit, poolSize]) {
    // mysql2 reads 0 as no limit
    if (typeof size === 'number') return size === 0 ? Infinity : size
  }
  return 10
}

/** The application's pool, as far as it lets itself be watched. */
export interface PoolWatch {
  /** True once the pool is being closed: `DataSource.destroy()` waits for its connections then. */
  readonly isClosing: boolean
  /** Somebody waits for a connection right now. */
  readonly hasWaiters: boolean
  stop(): void
}

/** Calls `onWaiter` whenever somebody has to wait for a connection of the DataSource's pool. */
export function watchPool(dataSource: DataSourceLike, onWaiter: () => void): PoolWatch {
  // Kept: TypeORM forgets the pool before it closes it.
  const pool = driverOf(dataSource)?.pool
  pool?.on?.('enqueue', onWaiter)
  return {
    get isClosing() {
      return !dataSource.isInitialized || driverOf(dataSource)?.pool !== pool || pool?._closed === true
    },
    get hasWaiters() {
      return (pool?._connectionQueue?.length ?? 0) > 0
    },
    stop: () => void pool?.removeListener?.('enqueue', onWaiter),
  }
}

/**
 * Lets a pinned connection go at once when its pool is closed. `DataSource.destroy()` asks every connection to end after its
 * statements; one that waits for a lock would hold it up for the rest of the wait. Undone by the returned function.
 */
export function onPoolEnd(connection: object, listener: () => void): () => void {
  const pooled = connection as { _realEnd?: (callback?: (error?: Error) => void) => void }
  if (typeof pooled._realEnd !== 'function') return () => {}
  pooled._realEnd = (callback) => {
    listener()
    callback?.()
  }
  return () => void delete pooled._realEnd
}

/** What it returns ends those connections of the DataSource that are still there then, without a word to the server. */
export function connectionsOf(dataSource: DataSourceLike): () => void {
  const { pool, poolCluster } = driverOf(dataSource) ?? {}
  const pools = [pool, ...Object.values(poolCluster?._nodes ?? {}).map((node) => node.pool)]
  return () => {
    for (const one of pools) {
      const all = one?._allConnections
      // From the end: each takes itself out.
      for (let i = (all?.length ?? 0) - 1; i >= 0; i--) all?.get(i)?.destroy()
    }
  }
}
