import type { Duration } from './duration.js'
import type { LockMode } from './lock-mode.js'

export type { LockMode } from './lock-mode.js'

/** A string or a bigint; with `exactName`, a bigint is a PostgreSQL advisory key as it is. */
export type LockName = string | bigint
/** One name, or several that are acquired together: all or none. */
export type LockNames = LockName | readonly LockName[]

/**
 * `shared`: the lock is held on the service's session, with all others, and costs no connection.
 * `dedicated`: the lock has a connection of its own, and the handle's `manager` works on that connection.
 */
export type SessionKind = 'shared' | 'dedicated'

/** Whether a call waits for the server's answer to the release of its lock. */
export type ReleaseKind = 'awaited' | 'background'

/**
 * The options of one call that acquires a lock.
 *
 * @example
 * await locks.withLock(`order:${id}`, { timeout: '5s', signal: shutdown }, report)
 */
export interface AcquireOptions<S extends SessionKind = SessionKind> {
  /** How long to wait for the lock. Default: the service's `timeout` (10 s); 0 for the `try…` calls. `Infinity`: no limit. */
  timeout?: Duration | undefined
  /** Ends the wait when aborted: the call rejects with the signal's reason. A held lock is not affected. */
  signal?: AbortSignal | undefined
  /** Share a lock that the running scope holds already, instead of throwing a NamedLockReentrancyError. Default false. */
  reentrant?: boolean | undefined
  /**
   * Use the name as the key, unchanged, to share a lock with SQL or other languages. On PostgreSQL it is an advisory key: a
   * bigint, or its decimal text such as `lock.key`. Default false.
   */
  exactName?: boolean | undefined
  /** The session that holds the lock. Default `'shared'`. */
  session?: S | undefined
  /**
   * Readers and writers of the name: a `'read'` lock is held together with other readers, a `'write'` lock alone. Default: an ordinary
   * lock, held alone.
   */
  mode?: LockMode | undefined
  /**
   * A semaphore: at most so many hold the name at a time, in all processes together. From 1 to 1 000. The handle's `permit` says which
   * of them the caller has. Permits and the name without `permits` are different locks, and do not exclude each other. For one name
   * only, and not together with `exactName` or `mode`. Default: an ordinary lock.
   */
  permits?: number | undefined
  /**
   * `'background'`: nothing waits for the server's answer to the release, which goes out together with the next request of this turn of the
   * event loop, at the latest at its end. A lone caller pays one round trip for a lock instead of two. The server may free the lock a
   * moment after the call has resolved, and a loss that only the release finds is an event (`lost`) instead of a rejection.
   * Default: the service's `release` (`'awaited'`).
   */
  release?: ReleaseKind | undefined
}

/**
 * The options of `transaction`.
 *
 * @example
 * await locks.transaction(`order:${id}`, { isolation: 'READ COMMITTED', retry: { deadlock: 3 } }, (manager) => settle(manager, order))
 */
export interface TransactionOptions extends Omit<AcquireOptions, 'session' | 'release'> {
  /** The transaction's isolation level. Default: the DataSource's. */
  isolation?: 'READ UNCOMMITTED' | 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE' | undefined
  /**
   * How often the work runs again after the server has rolled its transaction back. It runs under the same lock, in a new transaction
   * and with a new EntityManager, so it must not leave effects outside of its transaction. The first repetition begins at once, later
   * ones after a short random pause, which ends with `signal`. The `timeout` limits the wait for the lock, not the tries. When the
   * tries are used up, the call rejects with a NamedLockError (`DATABASE`) with the number of tries in its message and the database's own
   * error as `cause`. Without effect in a call inside another `transaction` that has the lock: the outermost call repeats. Behind a
   * transaction pooler (`pooling: 'transaction'`) the lock ends with its transaction, and each try acquires it again. Default: no
   * repetition.
   */
  retry?: RetryOptions | undefined
}

/** How often a transaction is repeated, after its first try, for each reason of a rollback. From 0 (the default) to 1 000. */
export interface RetryOptions {
  /** The server chose the transaction as the victim of a deadlock: 1213 of MySQL and MariaDB, 40P01 of PostgreSQL. */
  deadlock?: number | undefined
  /** The snapshot of the transaction was too old: 40001 of PostgreSQL, 1020 of MariaDB with `innodb_snapshot_isolation`. */
  serialization?: number | undefined
}

/** How the name of an inspected lock becomes a key. */
export interface InspectOptions {
  /** As in AcquireOptions. */
  exactName?: boolean | undefined
  /** Inspects the permits of the name, as callers with this number see them. */
  permits?: number | undefined
}

/**
 * A lock is passed from caller to caller inside this process, without the server, until one of these bounds is reached;
 * then other processes get their turn.
 */
export interface HandOverOptions {
  /** How many times in a row. Default 256. 0: every lock comes from the server. */
  times?: number | undefined
  /** For how long. Default 50 ms. Longer turns make others wait longer, and gain little. */
  for?: Duration | undefined
}

/**
 * The options of a NamedLockService.
 *
 * @example
 * const locks = new NamedLockService(dataSource, { namespace: 'billing', timeout: '5s', lease: '15s' })
 */
export interface NamedLockServiceOptions {
  /** Key prefix: keeps applications on one server apart. Default: the database's name, as the server spells it. `false`: no prefix. */
  namespace?: string | false | undefined
  /** Default timeout for calls that pass none. Default 10 s. */
  timeout?: Duration | undefined
  /** How long the server keeps the locks of a silent connection. Default 30 s, at least 1 s. */
  lease?: Duration | undefined
  /** How often an idle session is used, so that its lease does not end. Default: a third of the lease. */
  keepAlive?: Duration | undefined
  /** Continue with a warning where the server does not accept the lease (a proxy that swallows SET). Default false: an error. */
  allowNoLease?: boolean | undefined
  /** The most connections that the service borrows for ordinary locks. Default 4, and never more than half of the pool. */
  maxSessions?: number | undefined
  /**
   * The most locks that the service holds or waits for at a time. One more is a NamedLockConfigurationError. Default: 1 000 on PostgreSQL,
   * where the lock table has a fixed size and all of its users fail when it is full; no limit elsewhere.
   */
  maxLocks?: number | undefined
  /**
   * `'pool'`: sessions are borrowed from the DataSource's pool. `'own'`: the service opens its own connections, with the
   * DataSource's options. Default `'pool'`.
   */
  connections?: 'pool' | 'own' | undefined
  /**
   * `'transaction'`: for PostgreSQL behind a pooler that pools transactions (PgBouncer), where a connection belongs to a client for one
   * transaction only. `transaction`, `runOnce`, `lockTransaction`, `runMigrations` and the decorator with `transaction: true` acquire locks that
   * end with a transaction; `withLock`, `acquire` and the like throw a NamedLockConfigurationError. Default `'session'`.
   */
  pooling?: 'session' | 'transaction' | undefined
  /** Bounds for passing a lock on inside the process. */
  handOver?: HandOverOptions | undefined
  /** Whether calls wait for the server's answer to the release of their locks, as in AcquireOptions. Default `'awaited'`. */
  release?: ReleaseKind | undefined
  /** How long `close()` waits for running work before it takes the lock away. Default 5 s. */
  closeTimeout?: Duration | undefined
  /**
   * The reaction to a lock that is requested inside a transaction of the same DataSource, where it would be released before the
   * COMMIT. Default `'error'`: NamedLockInsideTransactionError.
   */
  insideTransaction?: 'error' | 'warn' | 'allow' | undefined
  /**
   * Inside `transaction`, everything that is sent through the DataSource takes part in it automatically: repositories (also injected
   * ones), `dataSource.manager`, query builders, `dataSource.query` and `dataSource.transaction`. `locks.outside` is the exception.
   * Default false; true in NamedLockModule.
   */
  ambientTransactions?: boolean | undefined
  /**
   * The reaction to a statement that is sent inside `transaction` on another connection of the same DataSource, where it would be
   * committed separately and see another snapshot. Default `'error'`: NamedLockOutsideTransactionError.
   */
  outsideTransaction?: 'error' | 'warn' | 'allow' | undefined
  /**
   * Fencing tokens from a table of counters, one for each key, instead of the server's own numbers: they keep rising with the
   * table, also after a failover. The table is created when first needed (docs/safety.md has the statement).
   */
  fencing?: { readonly table: string } | undefined
  /**
   * The table in which `runOnce` keeps what was done. Default `named_lock_done`, in the schema of the connection. It is created when first
   * needed (docs/once.md has the statement).
   */
  done?: { readonly table: string } | undefined
}

/** Selects the locks for `list`. */
export interface ListOptions {
  /** Only names that begin with this text; `%` and `_` have no special meaning. */
  prefix?: string | undefined
  /** True: only locks with waiters. */
  waiting?: boolean | undefined
}

/** What `check` examines beyond what it always does. */
export interface CheckOptions {
  /**
   * True: also whether the server really ends a session at the end of its lease. It opens one with the shortest lease, and waits: that takes
   * two seconds, and up to seven where the server does not.
   */
  lease?: boolean | undefined
}

/** `value?: undefined` on the second arm keeps `const { acquired, value } = …` and `r.value` legal. */
export type TryResult<T> =
  { readonly acquired: true; readonly value: T } | { readonly acquired: false; readonly value?: undefined }
