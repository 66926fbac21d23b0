import type { Finding } from '../contract/lock-info.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { RunnerLike } from '../typeorm/raw-connection.js'

/** The DataSource's pool, as far as it can be watched. Neither TypeORM nor the drivers document any of it. */
export interface PoolWatch {
  /** True once the pool is being closed: `DataSource.destroy()` waits for its connections then. */
  readonly isClosing: boolean
  /** Whether a caller waits for a connection right now. */
  readonly hasWaiters: boolean
  stop(): void
}

/** What the library has to know about a driver's pool of connections. */
export interface PoolDriver {
  /**
   * How many connections the DataSource's pool may open, as the driver reads its options.
   *
   * @throws NamedLockConfigurationError when the pool would never hand a connection out.
   */
  size(dataSource: DataSourceLike): number
  /** The findings of `check()` about the DataSource's own options. */
  check?(dataSource: DataSourceLike): Finding[]
  /** A connection, where TypeORM's own way to one would do harm. Left out, or undefined, where it does none. */
  connect?(dataSource: DataSourceLike): Promise<RunnerLike> | undefined
  /**
   * Until the returned function is called, an error of a connection that is just being taken from the pool does not end the process.
   * Left out where the driver's pool has a listener of its own at every moment.
   */
  guard?(dataSource: DataSourceLike): () => void
  /** Calls `onWaiter` when a caller has to wait for a connection. */
  watch(dataSource: DataSourceLike, onWaiter: () => void): PoolWatch
  /**
   * Calls `listener` when the pool of a pinned connection is closed, and keeps the pool from waiting for that connection. The returned
   * function undoes it.
   */
  onEnd(connection: object, runner: RunnerLike, listener: () => void): () => void
  /** The returned function ends the connections of the DataSource that are still there then, without a word to the server. */
  ending(dataSource: DataSourceLike): () => void
  /** The `extra` (and more) of a DataSource like the given one, with a small pool of its own; `patience`: for a connection, in milliseconds. */
  ownOptions(options: { readonly extra?: object }, size: number, patience?: number): object
}
