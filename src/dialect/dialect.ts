import type { KeyRules } from '../names/targets.js'
import type { TimeLimits } from '../util/time-limits.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { LockName } from '../contract/options.js'
import type { Finding } from '../contract/lock-info.js'
import type { Ask, RawConnection, RunnerLike } from '../typeorm/raw-connection.js'
import type { LockTable } from './lock-table.js'

/** Which server a session found at the other end. */
export interface ServerFacts {
  readonly connectionId: string
  /** Tells one server from another: cancels and locks mean something on one server only. */
  readonly identity: string
  /** When the server was started, in seconds of its own clock, give or take one: connection ids begin again then. */
  readonly startedAt: number
  readonly user: string | undefined
  readonly host: string | undefined
  readonly database: string | undefined
  /** The isolation level of the transaction, where that matters to locks. */
  readonly isolation?: string | undefined
  /** What the session's settings were before the library changed them. */
  readonly restore: string
  /** A fencing token that is taken inside a transaction is not durable before its COMMIT: it has to come from another connection. */
  readonly losesTokens?: boolean
  /** What the protocol says of a transaction on the connection, where it says it then. */
  readonly status?: TransactionStatus | undefined
  /** The lease the server says it keeps, in milliseconds; undefined when it keeps none. */
  readonly lease: number | undefined
}

/** Whether a transaction runs on a connection; `implicit`: with autocommit off, where any statement that reads a table begins one. */
export type TransactionStatus = 'open' | 'none' | 'implicit'

/**
 * What a session is for: locks alone, locks and the application's work, locks inside a transaction of the application, or inside
 * one that the library has begun for them.
 */
export type SessionUse = 'locks' | 'work' | 'transaction' | 'begun'

/**
 * How long one statement may block for a lock, in milliseconds. Shorter statements cost the server more of them; and a server that looks
 * for deadlocks only after some time finds none.
 */
export interface WaitLimits {
  readonly usual: number
  /** For a connection that holds other locks, and so may be part of a deadlock: now and then, long enough for the server to find it. */
  readonly detecting: number
}

/** How a wait ended by an error of the server: somebody cancelled it, the server saw a deadlock, or a limit ran out. */
export type WaitFailure = 'cancelled' | 'slice' | 'deadlock' | 'other'

/** How a table of counters is used. Every statement stands alone, on one connection. */
export interface CounterStatements {
  readonly create: string
  /** Makes the counter of that key at least one more than it is, and more than `floor`. */
  raise(key: string, floor: bigint): string
  /** What the last `raise` of the connection made of it; left out where `raise` answers that itself. */
  readonly last?: string | undefined
  /** Left out where every statement is committed by itself. */
  readonly commit?: string | undefined
  /** The error says that there is no such table. */
  isMissing(error: unknown): boolean
}

/** The two statements of a lone caller, to be prepared. */
export interface PreparedRequests {
  readonly take: string
  readonly give: string
  /** The parameter for a literal; undefined for one that can only be written out. */
  parameter(literal: string): string | Buffer | undefined
}

/** A DataSource's pool, as far as it lets itself be watched. TypeORM and the drivers promise none of it. */
export interface PoolWatch {
  /** True once the pool is being closed: `DataSource.destroy()` waits for its connections then. */
  readonly isClosing: boolean
  /** Somebody waits for a connection right now. */
  readonly hasWaiters: boolean
  stop(): void
}

/** What is to be known about the pool of a driver. */
export interface PoolDriver {
  /**
   * How many connections the DataSource's pool may open, as the driver reads its options.
   *
   * @throws NamedLockConfigurationError when the pool would never give one out.
   */
  size(dataSource: DataSourceLike): number
  /** What about the DataSource's own options is worth telling. */
  check?(dataSource: DataSourceLike): Finding[]
  /** A connection, where TypeORM's own way to one would do harm; left out, or undefined, where it does none. */
  connect?(dataSource: DataSourceLike): Promise<RunnerLike> | undefined
  /**
   * Until what it returns is called, an error of a connection that is just being taken from the pool does not end the process.
   * Left out where the driver's pool has a listener of its own at every moment.
   */
  guard?(dataSource: DataSourceLike): () => void
  /** Calls `onWaiter` when somebody has to wait for a connection. */
  watch(dataSource: DataSourceLike, onWaiter: () => void): PoolWatch
  /** Calls `listener` when the pool of a pinned connection is closed, and lets that not wait for the connection. Returns how to undo it. */
  onEnd(connection: object, runner: RunnerLike, listener: () => void): () => void
  /** What it returns ends those connections of the DataSource that are still there then, without a word to the server. */
  ending(dataSource: DataSourceLike): () => void
  /** The `extra` (and more) of a DataSource like the given one, with a small pool of its own; `patience`: for a connection, in milliseconds. */
  ownOptions(options: { readonly extra?: object }, size: number, patience?: number): object
}

/**
 * The seam between the machinery and a server: all SQL and every quirk is behind it.
 *
 * Expressions answer with one short text each: `1` yes, `0` no. They never block, so any number of them can share a statement.
 */
export interface Dialect extends KeyRules {
  /** Locks end with the transaction that they were taken in, and nothing else gives them back. */
  readonly endsWithTransaction?: boolean | undefined
  /** There is no other server that a DataSource of this kind could lead to. */
  readonly isCertain?: boolean | undefined
  /** How many locks a service may have unless it is told otherwise; left out where there is no reason for a limit. */
  readonly mostLocks?: number | undefined
  /** Locks do not end by time: a session has no lease and needs no keepalive. */
  readonly keepsLocksForever?: boolean | undefined
  /** For the times that callers ask for (timeout, holdAtLeast); left out where the library's own clock measures them. */
  readonly timeLimits?: TimeLimits | undefined
  readonly pool: PoolDriver
  /**
   * The driver's connection as sessions use it; the same for the same connection. Every statement of the library goes through it: no
   * option of the application's driver changes the answers.
   */
  wire(connection: RawConnection): RawConnection
  /** Why the server keeps no lease, and what follows from that. */
  readonly noLease: string

  /** Whether keys begin with their namespace and the name, as far as `keyFor` of lock-name.ts does that. */
  readonly hasReadableKeys: boolean
  /** The literal of the polling mark of whatever has that exclusion key. */
  markLiteral(exclusionKey: string): string

  /** What whoever polls for a key, to hold it alone, takes besides the polling mark: `takeShared` leaves the key alone meanwhile. */
  writersMark?(exclusionKey: string): string
  /** Takes the lock if it is free: 1 taken, 0 busy. */
  take(literal: string): string
  /** Takes a shared literal, unless somebody polls who wants it alone: readers come and go, and a poll may never find none. */
  takeShared?(literal: string): string
  /** For a shared literal that is held: 1 when somebody waits who wants it alone, blocked or polling with `mark`. */
  isWanted?(literal: string, mark: string): string
  /** Gives the lock back: 1 given back, anything else: it was not ours. */
  give(literal: string): string
  /**
   * Gives the lock back and takes it again, unless somebody is blocked for it (then the server has passed it on) or `mark`
   * is taken: `1/1`, `1/0` and `1/-1`; `0/…` when the lock was not ours to give.
   */
  passTurn(literal: string, mark: string): string
  /** 1 when nobody has the lock. */
  isFree(literal: string): string
  /** 1 when this very session has the lock. */
  owns(literal: string): string
  /** The connection id of the holder, or nothing; with a space between them where there are several. */
  holderId(literal: string): string
  /**
   * A number that rises from call to call, while this session owns the lock; nothing otherwise. It must go on rising when the
   * server crashes after the answer. Only for sessions that are in no transaction, where there is `fencingTokenInWork` as well.
   */
  fencingToken(literal: string): string
  /** The same on a connection that may be in a transaction of the work; left out where that makes no difference. */
  fencingTokenInWork?(literal: string): string
  /** A statement for such a number on any other connection: where a session `losesTokens`. */
  readonly freshToken?: string
  /** For fencing tokens from a table; `table` may come with its schema. */
  counter?(table: string): CounterStatements
  /** The most expressions of one statement. */
  readonly batchLimit: number
  /** One statement that evaluates so many expressions (joined by commas) from left to right, each exactly once. For sessions with the use `locks`. */
  batch(expressions: string, count: number): string
  /** The same for a single expression, on any session. */
  single(expression: string): string
  /** `single(take(…))` and `single(give(…))` with a parameter for the literal, where a prepared statement is faster. */
  readonly prepared?: PreparedRequests | undefined
  /** The answers of a batch or a single expression; undefined where the server answered NULL. */
  readBatch(rows: unknown): (string | undefined)[]

  /** Waits up to `milliseconds` for the lock, unless `mark` is taken: answers 1, 0 or -1 in its first column. */
  wait(literal: string, mark: string, milliseconds: number, inTransaction: boolean): string
  /** How long waits may block, where a blocked one holds the server up; left out where it does no harm. */
  readonly waitLimits?: WaitLimits | undefined
  /** What makes a transaction usable again in which a wait has failed; left out where a wait's error does it no harm. */
  readonly afterFailedWait?: string | undefined
  waitFailure(error: unknown): WaitFailure
  /** Ends whatever statement that connection runs. */
  cancel(connectionId: string): string
  /** Ends that connection, for operators. */
  endConnection(connectionId: string): string
  readonly keepAlive: string
  /** Who has that connection, for error messages and `holder`. */
  describeConnection(connectionId: string): string
  readConnection(rows: unknown): { user?: string; host?: string; database?: string } | undefined

  /** Whether a connection of the same user runs a statement right now. */
  atWork(connectionId: string): string
  /** True when it does, on the very server of those facts; false also when that cannot be seen. */
  readAtWork(rows: unknown, facts: ServerFacts): boolean

  /** Every lock of the server, as far as it can be seen; an error that names the grant where only a right is missing. */
  readLocks(ask: Ask): Promise<LockTable>
  /** Leaves a note on a session that whoever may see the server's locks can read. It costs the server next to nothing. */
  leaveNote?(text: string): string
  /** The notes of all sessions. */
  readNotes(ask: Ask): Promise<readonly string[]>

  /** What about the server makes its locks unsafe or slow. */
  check(ask: Ask, leaseMs: number, connection: RawConnection): Promise<Finding[]>

  /**
   * Sets the lease and whatever else a lock's session needs, and finds out who the server is. Where the application's work runs on
   * it, too, its limits for statements stay.
   *
   * @throws UnsupportedDriverError when the server turns out to be another one, without locks.
   */
  open(ask: Ask, leaseMs: number, use: SessionUse, connection: RawConnection): Promise<ServerFacts>
  /** Ends the connection at once, without an answer from the server. */
  destroy(connection: RawConnection): void
  /** False for an error of the connection itself; an error that the server sent is a sign of life like any answer. */
  isAnswer(error: unknown): boolean
  /** True when that error to a COMMIT leaves open whether it was carried out: it was interrupted, the server went down. */
  leavesCommitOpen(error: unknown): boolean
  /** What the protocol says of the transaction with that answer of the driver; undefined where it carries no word of it. */
  statusAfter(result: unknown, connection: RawConnection): TransactionStatus | undefined
  /** An empty statement whose answer tells the status, for after an error; left out where the next statement is refused anyway. */
  readonly askStatus?: string | undefined
  /** Ends whatever transaction there is, and begins none. */
  readonly rollBack: string
  /** True when the driver has given up on a statement that the server may still be running. */
  isAbandoned(error: unknown): boolean
  /** True for an error that only repeats that the transaction failed before. */
  isAftermath(error: unknown): boolean
  /**
   * Where locks end with a transaction: makes what a transaction that has done nothing else sees as new as its locks, which it keeps
   * meanwhile.
   */
  renewSnapshot?(literals: readonly string[], leaseMs: number): string
  /** True when that answer to a COMMIT says that the server has rolled the transaction back instead. */
  isRolledBack(result: unknown): boolean
}
