import type { Duration } from './duration.js'

/** Text, or a bigint: with `exactName`, a PostgreSQL advisory key as it is. */
export type LockName = string | bigint
/** One name, or several that are taken together: all or none. */
export type LockNames = LockName | readonly LockName[]

/**
 * `shared`: the lock lives on the service's session beside all others, and costs no connection.
 * `dedicated`: it has a connection of its own, and the handle's `manager` works on that connection.
 */
export type SessionKind = 'shared' | 'dedicated'

export interface AcquireOptions<S extends SessionKind = SessionKind> {
  /** How long to wait for the lock. Default: the service's `timeout` (10 s); 0 for the `try…` calls. `Infinity` waits for ever. */
  timeout?: Duration | undefined
  /** Ends the wait when aborted; the call then rejects with the signal's own reason. A lock that is held is not affected. */
  signal?: AbortSignal | undefined
  /** Asking for a name that the running scope already holds is counted instead of being a NamedLockReentrancyError. Default false. */
  reentrant?: boolean | undefined
  /**
   * The name goes to the server untouched, to share a lock with SQL or other languages. On PostgreSQL it is an advisory key: a
   * bigint, or its decimal text such as `lock.key`. Default false.
   */
  exactName?: boolean | undefined
  /** Where the lock lives. Default `'shared'`. */
  session?: S | undefined
  /**
   * A reader lock: held together with other readers, never beside a writer. Where the server has them (PostgreSQL), else a
   * NamedLockConfigurationError. Default false.
   */
  shared?: boolean | undefined
}

export interface TransactionOptions extends Omit<AcquireOptions, 'session'> {
  /** The transaction's isolation level. Default: the DataSource's. */
  isolation?: 'READ UNCOMMITTED' | 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE' | undefined
}

/** How the name of an inspected lock is read. */
export interface InspectOptions {
  /** As in AcquireOptions. */
  exactName?: boolean | undefined
}

/**
 * A lock is passed from caller to caller inside this process, without the server, until one of these bounds is reached;
 * then other processes get their turn.
 */
export interface HandOverOptions {
  /** How many times in a row. Default 256. 0: every lock comes from the server. */
  times?: number | undefined
  /** For how long. Default 100 ms. */
  for?: Duration | undefined
}

export interface NamedLockServiceOptions {
  /** What keys begin with, so that applications on one server do not meet. Default: the database's name, as the server has it. `false`: nothing. */
  namespace?: string | false | undefined
  /** How long to wait for a lock when a call does not say. Default 10 s. */
  timeout?: Duration | undefined
  /** How long the server keeps the locks of a connection it has not heard from. Default 30 s, at least 1 s. */
  lease?: Duration | undefined
  /** How often an idle session is used, so that its lease does not end. Default: a third of the lease. */
  keepAlive?: Duration | undefined
  /** Go on with a warning where the server does not take the lease (a proxy that swallows SET). Default false: an error. */
  allowNoLease?: boolean | undefined
  /** The most connections the service takes for ordinary locks. Default 4, and never more than half of the pool. */
  maxSessions?: number | undefined
  /**
   * The most locks that the service holds or waits for at a time. One more is a NamedLockConfigurationError. Default: 1 000 on PostgreSQL,
   * whose table of locks is of fixed size and fails everybody when it is full; no limit elsewhere.
   */
  maxLocks?: number | undefined
  /**
   * `'pool'`: sessions are borrowed from the DataSource's pool. `'own'`: the service opens its own connections, with the
   * DataSource's options. Default `'pool'`.
   */
  connections?: 'pool' | 'own' | undefined
  /**
   * `'transaction'`: for PostgreSQL behind a pooler that pools transactions (PgBouncer), where no connection is one's own for longer
   * than a transaction. `transaction`, `lockTransaction`, `runMigrations` and the decorator with `transaction: true` take locks that
   * live and end with a transaction; `withLock`, `acquire` and the like are NamedLockConfigurationErrors. Default `'session'`.
   */
  pooling?: 'session' | 'transaction' | undefined
  /** Bounds of passing a lock on inside the process. */
  handOver?: HandOverOptions | undefined
  /** How long `close()` lets running work finish before it takes the lock away. Default 5 s. */
  closeTimeout?: Duration | undefined
  /**
   * What happens when a lock is asked for while a transaction of the same DataSource is running around the call, where it
   * would be released before the COMMIT. Default `'error'`: NamedLockInsideTransactionError.
   */
  insideTransaction?: 'error' | 'warn' | 'allow' | undefined
  /**
   * Fencing tokens from a table of counters, one for each key, instead of the server's own numbers: they go on rising wherever
   * the table goes, also after a failover. The table is created when first needed (docs/safety.md has the statement).
   */
  fencing?: { readonly table: string } | undefined
}

/** What `list` lists. */
export interface ListOptions {
  /** Only names that begin so; `%` and `_` mean nothing special. */
  prefix?: string | undefined
  /** True: only locks that somebody waits for. */
  waiting?: boolean | undefined
}

/** `value?: undefined` on the second arm keeps `const { acquired, value } = …` and `r.value` legal. */
export type TryResult<T> =
  { readonly acquired: true; readonly value: T } | { readonly acquired: false; readonly value?: undefined }
