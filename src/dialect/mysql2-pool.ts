import type { DataSourceLike } from '../data-source-like.js'
import type { PoolDriver, PoolWatch } from './dialect.js'

/** mysql2's pool: `enqueue` is emitted when a caller has to wait for a connection. */
interface Mysql2Pool {
  on?(event: 'enqueue', listener: () => void): unknown
  removeListener?(event: 'enqueue', listener: () => void): unknown
  readonly _closed?: boolean
  readonly _connectionQueue?: { readonly length: number }
  readonly _allConnections?: { readonly length: number; get(index: number): { destroy(): void } | undefined }
}

interface Mysql2Driver {
  readonly pool?: Mysql2Pool | undefined
  /** In the place of the pool, with `replication`. */
  readonly poolCluster?: { readonly _nodes?: Readonly<Record<string, { readonly pool?: Mysql2Pool }>> } | undefined
}

function driverOf(dataSource: DataSourceLike): Mysql2Driver | undefined {
  return (dataSource as { driver?: Mysql2Driver }).driver
}

function poolOf(dataSource: DataSourceLike): Mysql2Pool | undefined {
  return driverOf(dataSource)?.pool
}

/** The pool of mysql2, behind TypeORM's drivers `mysql` and `mariadb`. */
export const MYSQL2_POOL: PoolDriver = {
  size(dataSource) {
    const { poolSize, extra } = dataSource.options as { poolSize?: unknown; extra?: { connectionLimit?: unknown } }
    for (const size of [extra?.connectionLimit, poolSize]) {
      // mysql2 reads 0 as no limit
      if (typeof size === 'number') return size === 0 ? Infinity : size
    }
    return 10
  },

  watch(dataSource, onWaiter): PoolWatch {
    // Kept: TypeORM forgets the pool before it closes it.
    const pool = poolOf(dataSource)
    pool?.on?.('enqueue', onWaiter)
    return {
      get isClosing() {
        return !dataSource.isInitialized || poolOf(dataSource) !== pool || pool?._closed === true
      },
      get hasWaiters() {
        return (pool?._connectionQueue?.length ?? 0) > 0
      },
      stop: () => void pool?.removeListener?.('enqueue', onWaiter),
    }
  },

  /**
   * `DataSource.destroy()` asks every connection to end after its statements; one that waits for a lock would hold it up for the
   * rest of the wait.
   */
  onEnd(connection, _runner, listener) {
    const pooled = connection as { _realEnd?: (callback?: (error?: Error) => void) => void }
    if (typeof pooled._realEnd !== 'function') return () => {}
    pooled._realEnd = (callback) => {
      listener()
      callback?.()
    }
    return () => void delete pooled._realEnd
  },

  ending(dataSource) {
    const { pool, poolCluster } = driverOf(dataSource) ?? {}
    const pools = [pool, ...Object.values(poolCluster?._nodes ?? {}).map((node) => node.pool)]
    return () => {
      for (const one of pools) {
        const all = one?._allConnections
        // From the end: each takes itself out.
        for (let i = (all?.length ?? 0) - 1; i >= 0; i--) all?.get(i)?.destroy()
      }
    }
  },

  ownOptions({ extra }, size, patience) {
    const { connectAttributes } = (extra ?? {}) as { connectAttributes?: object }
    return {
      poolSize: size,
      extra: {
        ...extra,
        connectionLimit: size,
        ...(patience !== undefined && { connectTimeout: Math.ceil(patience) }),
        connectAttributes: { ...connectAttributes, program_name: 'typeorm-named-lock' },
      },
    }
  },
}
