import type { DataSourceLike } from '../data-source-like.js'
import type { PoolDriver, PoolWatch } from './dialect.js'

/** The pool of pg. It tells nobody when a caller has to wait. */
interface PgPool {
  connect(...args: unknown[]): unknown
  readonly waitingCount?: number
  readonly ending?: boolean
  readonly _clients?: readonly { readonly connection?: { readonly stream?: { destroy(): void } } }[]
}

function poolOf(dataSource: DataSourceLike): PgPool | undefined {
  return (dataSource as { driver?: { master?: PgPool } }).driver?.master
}

/** Those who want to know of a pool's waiters: its `connect` is replaced once for all of them. */
const listeners = new WeakMap<PgPool, Set<() => void>>()

function listen(pool: PgPool, onWaiter: () => void): () => void {
  const known = listeners.get(pool)
  const all = known ?? new Set()
  all.add(onWaiter)
  if (!known) {
    listeners.set(pool, all)
    const connect = pool.connect.bind(pool)
    pool.connect = (...args) => {
      const result = connect(...args)
      if ((pool.waitingCount ?? 0) > 0) for (const tell of all) tell()
      return result
    }
  }
  return () => {
    all.delete(onWaiter)
    if (all.size > 0 || listeners.get(pool) !== all) return
    listeners.delete(pool)
    delete (pool as Partial<PgPool>).connect
  }
}

/** The pool of pg, behind TypeORM's driver `postgres`. */
export const PG_POOL: PoolDriver = {
  size(dataSource) {
    const { poolSize, extra } = dataSource.options as { poolSize?: unknown; extra?: { max?: unknown } }
    for (const size of [extra?.max, poolSize]) if (typeof size === 'number' && size > 0) return size
    return 10
  },

  watch(dataSource, onWaiter): PoolWatch {
    const pool = poolOf(dataSource)
    const stop = pool ? listen(pool, onWaiter) : () => {}
    return {
      get isClosing() {
        return !dataSource.isInitialized || poolOf(dataSource) !== pool || pool?.ending === true
      },
      get hasWaiters() {
        return (pool?.waitingCount ?? 0) > 0
      },
      stop,
    }
  },

  /** `DataSource.destroy()` releases all QueryRunners before it ends the pool: nobody else releases one of ours. */
  onEnd(_connection, runner, listener) {
    const own = Object.getOwnPropertyDescriptor(runner, 'release')
    const release = runner.release.bind(runner)
    runner.release = () => {
      listener()
      return release()
    }
    return () => {
      if (own) Object.defineProperty(runner, 'release', own)
      else delete (runner as Partial<typeof runner>).release
    }
  },

  ending(dataSource) {
    const clients = poolOf(dataSource)?._clients ?? []
    return () => {
      for (const client of clients) client.connection?.stream?.destroy()
    }
  },

  ownOptions({ extra }, size) {
    return {
      poolSize: size,
      extra: { ...extra, max: size, application_name: 'typeorm-named-lock' },
      installExtensions: false,
    }
  },
}
