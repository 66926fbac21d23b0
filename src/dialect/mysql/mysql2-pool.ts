import type { DataSourceLike } from '../../typeorm/data-source-like.js'
import type { RawConnection } from '../../typeorm/raw-connection.js'
import type { PoolDriver, PoolWatch } from '../pool-driver.js'
import { checkSize, isNumeric, usableSize, type GivenSize } from '../pool-size.js'

/** mysql2's pool: `enqueue` is emitted when a caller has to wait for a connection. That of the older driver `mysql` is like it. */
interface Mysql2Pool {
  on?(event: 'enqueue', listener: () => void): unknown
  removeListener?(event: 'enqueue', listener: () => void): unknown
  getConnection(callback: (error: Error | null, connection?: PooledConnection) => void): unknown
  end(callback?: (error?: Error) => void): unknown
  readonly config?: { readonly connectionLimit?: unknown }
  readonly _closed?: boolean
  readonly _connectionQueue?: { readonly length: number }
  readonly _allConnections?:
    readonly { destroy(): void }[] | { readonly length: number; get(index: number): { destroy(): void } | undefined }
}

type PooledConnection = RawConnection & { release(): void }

interface PoolCluster {
  readonly _closed?: boolean
  readonly _nodes?: Readonly<Record<string, { readonly pool?: Mysql2Pool }>>
}

interface Mysql2Driver {
  readonly pool?: Mysql2Pool | undefined
  /** In the place of the pool, with `replication`. */
  readonly poolCluster?: PoolCluster | undefined
  prepareDbConnection?(connection: object): unknown
}

interface PoolOptions {
  readonly poolSize?: unknown
  readonly extra?: { readonly connectionLimit?: unknown; readonly uri?: unknown } | null
  readonly replication?: { readonly master?: { readonly poolSize?: unknown }; readonly restoreNodeTimeout?: unknown }
}

/** A connection of the pool. */
interface Pooled {
  _realEnd?: (callback?: (error?: Error) => void) => unknown
  readonly _pool?: Mysql2Pool
}

function driverOf(dataSource: DataSourceLike): Mysql2Driver | undefined {
  return (dataSource as { driver?: Mysql2Driver }).driver
}

/** The pool that locks take their connections from: with `replication` the master's. TypeORM calls it so. */
function poolOf(dataSource: DataSourceLike): Mysql2Pool | undefined {
  const { pool, poolCluster } = driverOf(dataSource) ?? {}
  return pool ?? poolCluster?._nodes?.MASTER?.pool
}

/** What TypeORM hands to the driver as `connectionLimit`, in its order of precedence. */
function givenSize(dataSource: DataSourceLike): GivenSize {
  const { poolSize, extra, replication } = dataSource.options as PoolOptions
  // Without a value there is one all the same, and it counts.
  if (extra && 'connectionLimit' in extra && (extra.connectionLimit || extra.uri === undefined))
    return { option: 'extra.connectionLimit', value: extra.connectionLimit }
  const [option, value] =
    replication?.master?.poolSize === undefined || replication.master.poolSize === null
      ? ['poolSize', poolSize]
      : ['replication.master.poolSize', replication.master.poolSize]
  if (value || typeof extra?.uri !== 'string') return { option: option, value }
  const inUri = URL.canParse(extra.uri) ? new URL(extra.uri).searchParams.get('connectionLimit') : null
  return inUri === null ? { option: option, value } : { option: 'extra.uri', value: parsed(inUri) }
}

/** As mysql2 reads the options of an address. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const DEFAULT_SIZE = 10

/** As both drivers read it: what is no number counts as left out, and for mysql2 none is no limit. */
function readSize(value: unknown): number {
  const size = value !== undefined && isNumeric(value) ? Number(value) : DEFAULT_SIZE
  return size === 0 ? Infinity : size
}

const quiet = new WeakSet<Mysql2Pool>()

/**
 * A cluster that gives a node up ends its pool, and the pool throws what connections that are just being opened say to that, where
 * no code can catch it: the process would end. A connection of ours may be among them.
 */
function endQuietly(pool: Mysql2Pool): void {
  if (quiet.has(pool)) return
  quiet.add(pool)
  const end = pool.end.bind(pool)
  pool.end = (callback = () => {}) => end(callback)
}

/** The pool of mysql2, behind TypeORM's drivers `mysql` and `mariadb`. */
export const MYSQL2_POOL: PoolDriver = {
  size(dataSource) {
    const given = givenSize(dataSource)
    const actual = poolOf(dataSource)?.config?.connectionLimit
    return usableSize(readSize(typeof actual === 'number' ? actual : given.value), given)
  },

  check(dataSource) {
    const findings = checkSize(givenSize(dataSource), this.size(dataSource))
    const { replication } = dataSource.options as PoolOptions
    if (!replication || Number(replication.restoreNodeTimeout) > 0) return findings
    return [
      ...findings,
      {
        code: 'REPLICATION_NOT_RESTORED',
        severity: 'warning',
        message:
          'The DataSource has replication without restoreNodeTimeout: after 5 failed connections in a row mysql2 removes the master from its ' +
          'cluster for good (POOL_NOEXIST), and the application needs a restart after a short outage of the database.',
        remedy: 'Set replication.restoreNodeTimeout, in milliseconds: 1000, for example.',
      },
    ]
  },

  /**
   * With `replication`: out of the master's own pool, past the cluster. What fails by way of the cluster is tried five times in a row,
   * counted, and takes the master away for the whole application, for good unless `restoreNodeTimeout` is set.
   */
  connect(dataSource) {
    const driver = driverOf(dataSource)
    const cluster = driver?.poolCluster
    if (!cluster || driver.pool || !dataSource.isInitialized) return undefined
    const pool = cluster._nodes?.MASTER?.pool
    if (!pool) {
      const error = new Error(
        'mysql2 has removed the master from the cluster of the DataSource after 5 failed connections. Restart the application, and set replication.restoreNodeTimeout',
      )
      return Promise.reject(Object.assign(error, { code: 'POOL_NOEXIST' }))
    }
    endQuietly(pool)
    return new Promise((resolve, reject) => {
      pool.getConnection((error, connection) => {
        if (error || !connection) {
          reject(error ?? new Error('the pool gave no connection'))
          return
        }
        driver.prepareDbConnection?.(connection)
        resolve({
          connect: () => Promise.resolve(connection),
          release: () => Promise.resolve(connection.release()),
        })
      })
    })
  },

  watch(dataSource, onWaiter): PoolWatch {
    // Kept: TypeORM forgets the pool before it closes it.
    const { poolCluster: cluster } = driverOf(dataSource) ?? {}
    const pool = poolOf(dataSource)
    pool?.on?.('enqueue', onWaiter)
    return {
      get isClosing() {
        if (!dataSource.isInitialized) return true
        // A cluster may give its master up without being closed itself.
        if (cluster) return driverOf(dataSource)?.poolCluster !== cluster || cluster._closed === true
        return poolOf(dataSource) !== pool || pool?._closed === true
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
    const pooled = connection as Pooled
    const { _pool: pool, _realEnd: realEnd } = pooled
    if (typeof realEnd !== 'function') return () => {}
    pooled._realEnd = (callback) => {
      // The old driver `mysql` ends a connection like this that has failed, before any listener is notified: that is no end of the pool.
      if (pool?._closed === false) return realEnd.call(pooled, callback)
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
        for (let i = (all?.length ?? 0) - 1; i >= 0; i--) {
          const connection = all && 'get' in all ? all.get(i) : all?.[i]
          connection?.destroy()
        }
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
