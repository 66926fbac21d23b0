import type { DataSourceLike } from '../../typeorm/data-source-like.js'
import { setImmediate } from '../../util/clock.js'
import type { PoolDriver, PoolWatch } from '../pool-driver.js'
import { checkSize, isNumeric, usableSize, type GivenSize } from '../pool-size.js'

/** The pool of pg. It has no event for a caller that has to wait. */
interface PgPool {
  connect(...args: unknown[]): unknown
  on?(event: 'acquire', listener: (client: PgEmitter) => void): unknown
  removeListener?(event: 'acquire', listener: (client: PgEmitter) => void): unknown
  readonly options?: { readonly max?: unknown }
  readonly waitingCount?: number
  readonly ending?: boolean
  readonly _clients?: readonly { readonly connection?: { readonly stream?: { destroy(): void } } }[]
}

interface PgEmitter {
  on(event: 'error', listener: () => void): unknown
  removeListener(event: 'error', listener: () => void): unknown
}

/** pg-pool's option: a new client is checked before the caller has it, in the same turn. */
type Verify = (client: PgEmitter, done: (error?: Error) => void) => void

const ignore = (): void => {}

/**
 * The pool takes its own 'error' listener away before it calls back, and TypeORM attaches one a microtask later. What the server
 * says in the same packet as "ready" (that it shuts down) is emitted in between, and an 'error' without a listener ends the process.
 */
function guardClient(client: PgEmitter): void {
  client.on('error', ignore)
  setImmediate(() => client.removeListener('error', ignore))
}

const guards = new WeakMap<PgPool, number>()

function poolOf(dataSource: DataSourceLike): PgPool | undefined {
  return (dataSource as { driver?: { master?: PgPool } }).driver?.master
}

/** The listeners for a pool's waiters: its `connect` is replaced once for all of them. */
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
      if ((pool.waitingCount ?? 0) > 0) for (const notify of all) notify()
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

/** What TypeORM hands to the pool as `max`; without it the pool looks for `poolSize`, which only `extra` can have. */
function givenSize(dataSource: DataSourceLike): GivenSize {
  const { poolSize, extra } = dataSource.options as { poolSize?: unknown; extra?: object | null }
  const options: { max?: unknown; poolSize?: unknown } = { max: poolSize, ...extra }
  if (!options.max && options.poolSize) return { option: 'extra.poolSize', value: options.poolSize }
  return { option: extra && 'max' in extra ? 'extra.max' : 'poolSize', value: options.max }
}

/** As pg-pool compares with it: what is no number is never reached. */
function readSize(value: unknown): number {
  if (!value) return DEFAULT_SIZE
  return isNumeric(value) ? Number(value) : Infinity
}

const DEFAULT_SIZE = 10

/** The pool of pg, behind TypeORM's driver `postgres`. */
export const PG_POOL: PoolDriver = {
  size(dataSource) {
    const given = givenSize(dataSource)
    return usableSize(readSize(poolOf(dataSource)?.options?.max ?? given.value), given)
  },

  check(dataSource) {
    return checkSize(givenSize(dataSource), this.size(dataSource))
  },

  guard(dataSource) {
    const pool = poolOf(dataSource)
    if (!pool?.on) return ignore
    // One listener for any number of callers that are waiting for a connection.
    const count = guards.get(pool) ?? 0
    guards.set(pool, count + 1)
    if (count === 0) pool.on('acquire', guardClient)
    return () => {
      const left = (guards.get(pool) ?? 1) - 1
      guards.set(pool, left)
      if (left === 0) pool.removeListener?.('acquire', guardClient)
    }
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

  /** `DataSource.destroy()` releases all QueryRunners before it ends the pool: only that releases one of ours. */
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

  ownOptions({ extra }, size, patience) {
    const { verify } = (extra ?? {}) as { verify?: Verify }
    return {
      poolSize: size,
      extra: {
        ...extra,
        max: size,
        ...(patience !== undefined && { connectionTimeoutMillis: Math.ceil(patience) }),
        application_name: 'typeorm-named-lock',
        // TypeORM listens to none of those that it uses to initialise a DataSource.
        verify: (client: PgEmitter, done: (error?: Error) => void): void => {
          client.on('error', ignore)
          if (verify) verify(client, done)
          else done()
        },
      },
      installExtensions: false,
    }
  },
}

/**
 * Behind a pooler that pools transactions a client without a name bears that of the client before it. Connections of the
 * library have the application's name there, or none.
 */
export const POOLED_PG_POOL: PoolDriver = {
  ...PG_POOL,
  ownOptions(options, size, patience) {
    const own = PG_POOL.ownOptions(options, size, patience) as { extra: Record<string, unknown> }
    const given = options.extra as { readonly application_name?: unknown } | undefined
    // Left out, and not undefined: that would hide TypeORM's applicationName.
    const { application_name: _, ...extra } = own.extra
    return {
      ...own,
      extra: { ...extra, ...(given?.application_name !== undefined && { application_name: given.application_name }) },
    }
  },
}
