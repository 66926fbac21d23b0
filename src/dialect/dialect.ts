import type { Finding } from '../contract/lock-info.js'
import type { RetryOptions } from '../contract/options.js'
import type { KeyRules } from '../names/targets.js'
import type { Ask, RawConnection } from '../typeorm/raw-connection.js'
import type { TimeLimits } from '../util/time-limits.js'
import type { DoneRows } from './done-rows.js'
import type { Holders } from './holders.js'
import type { LockTable } from './lock-table.js'
import type { PoolDriver } from './pool-driver.js'

/*
 * The seam between the library and a server. All SQL and every quirk of a server is behind it, in a folder of its own.
 *
 * It is made of groups, each of which is used by another part of the library:
 *
 *   KeyRules       names to keys, and keys as literals (names/targets.ts)
 *   LockRequests   taking and releasing locks, several in one statement (session/batch.ts)
 *   Waiting        a statement that blocks for a lock, and its end (session/blocking-wait.ts)
 *   SessionRules   the lease, and how a connection becomes a session (session/session-opener.ts, session/session.ts)
 *   Transactions   what the protocol says of a transaction (work/work-connection.ts)
 *   Fencing        tokens that rise with every holder (session/fencing-table.ts)
 *   Inspection     the locks of all connections, and check() (inspect/)
 *   pool           the driver's pool of connections (dialect/pool-driver.ts)
 */

/** The server that a session found at the other end of its connection. */
export interface ServerFacts {
  readonly connectionId: string
  /** Tells one server from another: locks and cancels mean something on one server only. */
  readonly identity: string
  /** When the server was started, in seconds of its own clock, give or take one: connection ids begin again then. */
  readonly startedAt: number
  readonly user: string | undefined
  readonly host: string | undefined
  readonly database: string | undefined
  /** The isolation level of the transaction, where that matters to locks. */
  readonly isolation?: string | undefined
  /** The statement that sets the session's settings back to what they were before; empty where there is nothing to restore. */
  readonly restore: string
  /** A fencing token that is taken inside a transaction is not durable before its COMMIT, so it has to come from another connection. */
  readonly losesTokens?: boolean
  /** What the protocol says of a transaction on the connection, where it says it when the session opens. */
  readonly status?: TransactionStatus | undefined
  /** The lease that the server confirmed, in milliseconds; undefined when it keeps none. */
  readonly lease: number | undefined
}

/** Whether a transaction runs on a connection; `implicit`: with autocommit off, where any statement that reads a table begins one. */
export type TransactionStatus = 'open' | 'none' | 'implicit'

/**
 * What a session is for: locks alone, locks and the application's work, locks inside a transaction of the application, or inside
 * one that the library has begun for them; `probe`: the questions of `check()`.
 */
export type SessionUse = 'locks' | 'work' | 'transaction' | 'begun' | 'probe'

/**
 * Lock requests: expressions that a session evaluates at once, any number of them in one statement.
 *
 * None of them blocks. Each answers with one short text: `1` yes, `0` no.
 */
export interface LockRequests {
  /** Takes the lock if it is free: 1 taken, 0 busy. */
  take(literal: string): string
  /** Takes the first of several locks that is free: its place among the literals (with a space between them), from 1; 0 when all are busy. */
  takeFirst(literals: string): string
  /** Takes a shared literal, unless a caller polls to hold it alone: readers come and go, and a poll may never find none. */
  takeShared?(literal: string): string
  /** For a shared literal that is held: 1 when a caller waits to hold it alone, blocked or polling with `mark`. */
  isWanted?(literal: string, mark: string): string
  /** Releases the lock: 1 released; anything else: this session did not hold it. */
  give(literal: string): string
  /**
   * Releases the lock and takes it again, unless another session is blocked for it (then the server has passed it on) or `mark`
   * is taken: `1/1`, `1/0` and `1/-1`; `0/…` when this session did not hold the lock.
   */
  passTurn(literal: string, mark: string): string
  /** 1 when no session has the lock. */
  isFree(literal: string): string
  /** 1 when this very session has the lock. */
  owns(literal: string): string
  /** The place of the first of several locks that this very session has, from 1; 0 for none. */
  ownsFirst(literals: string): string
  /** The connection id of the holder, or nothing; with a space between them where there are several. */
  holderId(literal: string): string
  readHolders(literal: string, answer: string): Holders

  /*
   * Where readers and writers are made of ordinary locks (see `partedLiteral`): a writer that has the gate takes the slots of readers one by
   * one, as they come free.
   */

  /** Takes those slots that are free: a digit for each, 1 where this session has it now. Executed twice it does nothing wrong. */
  fill?(literal: string): string
  /** The literal of those slots of a writer, for `fill`. */
  fillLiteral?(literal: string, slots: readonly number[]): string
  /** As `owns`; and where this session has some parts of the lock only, it releases them. Left out where locks have one part. */
  ownsAllOrNone?(literal: string): string

  /** The literal of the polling mark for all keys with that exclusion key. */
  markLiteral(exclusionKey: string): string
  /** The mark that a caller takes besides the polling mark when it polls to hold a key alone: `takeShared` leaves the key alone meanwhile. */
  writersMark?(exclusionKey: string): string

  /** The most expressions of one statement. */
  readonly batchLimit: number
  /** One statement that evaluates so many expressions (joined by commas) from left to right, each exactly once. For sessions with the use `locks`. */
  batch(expressions: string, count: number): string
  /** The same for a single expression, on any session. */
  single(expression: string): string
  /** `single(take(…))`, `single(give(…))` and the batch of both with parameters for the literals, where a prepared statement is faster. */
  readonly prepared?: PreparedRequests | undefined
  /** The answers of a batch or a single expression; undefined where the server answered NULL. */
  readBatch(rows: unknown): (string | undefined)[]
  /** How many locks a service may hold by default; left out where there is no reason for a limit. */
  readonly mostLocks?: number | undefined
}

/** The statements of a lone caller, to be prepared. */
export interface PreparedRequests {
  readonly take: string
  readonly give: string
  /** The batch of a `give` and a `take`: a caller that does not wait for its releases sends them together. */
  readonly giveAndTake: string
  /** The parameter for a literal; undefined for one that can only be written out. */
  parameter(literal: string): string | Buffer | undefined
}

/** Waiting: one statement that blocks for a lock in the server's queue, and its cancel. */
export interface Waiting {
  /** Waits up to `milliseconds` for the lock, unless `mark` is taken: answers 1, 0 or -1 in its first column. */
  wait(literal: string, mark: string, milliseconds: number, inTransaction: boolean): string
  /** How long waits may block, where a blocked one holds the server up; left out where it does no harm. */
  readonly waitLimits?: WaitLimits | undefined
  /** Makes a transaction usable again in which a wait has failed; left out where a wait's error does it no harm. */
  readonly afterFailedWait?: string | undefined
  waitFailure(error: unknown): WaitFailure
  /** Ends the statement that connection runs, whichever it is. */
  cancel(connectionId: string): string
  /** For the times that callers ask for (timeout, holdAtLeast); left out where the library's own clock measures them. */
  readonly timeLimits?: TimeLimits | undefined
  /** A session that waits costs nothing, so every caller may have one. */
  readonly waitsForFree?: boolean | undefined
}

/**
 * How long one statement may block for a lock, in milliseconds. Shorter statements cost the server more of them; and a server that checks
 * for deadlocks only after some time finds none.
 */
export interface WaitLimits {
  readonly usual: number
  /** For a connection that holds other locks, and so may be part of a deadlock: now and then, long enough for the server to detect it. */
  readonly detecting: number
}

/** How a wait ended by an error of the server: by its cancel, by a deadlock that the server detected, or by a limit that ran out. */
export type WaitFailure = 'cancelled' | 'slice' | 'deadlock' | 'other'

/** Sessions: how a connection becomes one, keeps its lease, and ends. */
export interface SessionRules {
  /** A DataSource of this kind can only lead to this server. Otherwise the first connection has to say which one it is. */
  readonly isCertain?: boolean | undefined
  /** Locks do not end by time: a session has no lease and needs no keepalive. */
  readonly keepsLocksForever?: boolean | undefined
  /** Why the server keeps no lease, and what follows from that: the text of an error. */
  readonly noLease: string
  /** A statement for a sign of life. */
  readonly keepAlive: string
  /**
   * The driver's connection as sessions use it; the same for the same connection. Every statement of the library goes through it, so no
   * option of the application's driver changes the answers.
   */
  wire(connection: RawConnection): RawConnection
  /**
   * Sets the lease and all that a lock's session needs, and finds out which server it is. Where the application's work runs on the
   * session, too, its limits for statements stay.
   *
   * @throws NamedLockConfigurationError when the server turns out to be one whose locks cannot be relied on.
   */
  open(ask: Ask, leaseMs: number, use: SessionUse, connection: RawConnection): Promise<ServerFacts>
  /**
   * Asked once, of the first connection: throws where the server keeps its promises, but is one of several that grant the same locks.
   *
   * @throws NamedLockConfigurationError with the reason.
   */
  refuseServer?(ask: Ask): Promise<void>
  /** What that error of a statement says about the server, where it says that no lock will ever be granted; undefined for all other errors. */
  refusalOf?(error: unknown): Finding | undefined
  /** Ends the connection at once, without an answer from the server. */
  destroy(connection: RawConnection): void
  /** False for an error of the connection itself; an error that the server sent is a sign of life like any answer. */
  isAnswer(error: unknown): boolean
  /** True when the driver has given up on a statement that the server may still be running. */
  isAbandoned(error: unknown): boolean
  /** Asks on another connection of the same user whether that connection runs a statement right now. */
  atWork(connectionId: string): string
  /** True when it does, on the very server of those facts; false also when that cannot be seen. */
  readAtWork(rows: unknown, facts: ServerFacts): boolean
}

/** Why a server has rolled a transaction back that may succeed when it is repeated. */
export type RollbackReason = keyof RetryOptions

/** Such a rollback. */
export interface Rollback {
  readonly reason: RollbackReason
  /** The server's. */
  readonly error: Error
}

/** Transactions on a session's connection: whether one runs, and what became of it. */
export interface Transactions {
  /** Locks end with the transaction that they were taken in, and cannot be released before. */
  readonly endsWithTransaction?: boolean | undefined
  /** The driver answers a statement without a callback by a promise, and takes no further one before. */
  readonly answersByPromise?: boolean | undefined
  /** What the protocol says of the transaction with that answer of the driver; undefined where the answer does not carry it. */
  statusAfter(result: unknown, connection: RawConnection): TransactionStatus | undefined
  /** An empty statement, sent after an error, with an answer that carries the status; left out where the server refuses the next statement anyway. */
  readonly askStatus?: string | undefined
  /** Ends the transaction, if there is one, and begins none. */
  readonly rollBack: string
  /** True when that error to a COMMIT leaves open whether it was carried out: it was interrupted, the server went down. */
  leavesCommitOpen(error: unknown): boolean
  /** True when that answer to a COMMIT says that the server has rolled the transaction back instead. */
  isRolledBack(result: unknown): boolean
  /** True for an error that only repeats that the transaction failed before. */
  isAftermath(error: unknown): boolean
  /**
   * Whether the transaction failed with that error for a reason that a repetition may not meet; undefined for all other errors.
   *
   * @param hasEnded The error has ended the transaction, and not only its statement, as far as the protocol says that.
   */
  rollbackReason(error: unknown, hasEnded: boolean): RollbackReason | undefined
  /**
   * Where locks end with a transaction: lets a transaction that has done nothing else see all that was committed before its locks were
   * granted. It keeps the locks meanwhile.
   */
  renewSnapshot?(literals: readonly string[], leaseMs: number): string
}

/** Fencing tokens: numbers that rise from holder to holder, and go on rising when the server crashes after the answer. */
export interface Fencing {
  /**
   * An expression for a token while this session owns the lock; it answers nothing otherwise. Only for sessions that are in no transaction,
   * where there is `fencingTokenInWork` as well.
   */
  fencingToken(literal: string): string
  /** The same on a connection that may be in a transaction of the work; left out where that makes no difference. */
  fencingTokenInWork?(literal: string): string
  /** A statement for a token on any other connection, where a session `losesTokens`. */
  readonly freshToken?: string
  /** For fencing tokens from a table; `table` may come with its schema. */
  counter?(table: string): CounterStatements
}

/** The table of names that `runOnce` has done. */
export interface Done {
  /** `table` may come with its schema. */
  done?(table: string): DoneRows
}

/** How a table of counters is used. Every statement stands alone, on one connection. */
export interface CounterStatements {
  readonly create: string
  /** Makes the counter of that key at least one more than it is, and more than `floor`. */
  raise(key: string, floor: bigint): string
  /** What the last `raise` of the connection made of it; left out where `raise` answers that itself. */
  readonly last?: string | undefined
  /** Left out where the server commits every statement automatically. */
  readonly commit?: string | undefined
  /** The error says that there is no such table. */
  isMissing: (error: unknown) => boolean
}

/** Inspection: the locks of all connections of the server, and what is wrong with it. */
export interface Inspection {
  /** Whether keys begin with their namespace and the name, as far as `keyFor` of lock-name.ts does that. */
  readonly hasReadableKeys: boolean
  /** All locks of the server, as far as they can be seen; an error that names the grant where only a right is missing. */
  readLocks(ask: Ask): Promise<LockTable>
  /** The user, host and database of that connection, for error messages and `holder`. */
  describeConnection(connectionId: string): string
  readConnection(rows: unknown): { user?: string; host?: string; database?: string } | undefined
  /** Ends that connection, for operators. */
  endConnection(connectionId: string): string
  /** Leaves a note on a session that every user with the right to see the server's locks can read. It costs the server next to nothing. */
  leaveNote?(text: string): string
  /** The notes of all sessions. */
  readNotes(ask: Ask): Promise<readonly string[]>
  /** What about the server makes its locks unsafe or slow. */
  check(ask: Ask, leaseMs: number, connection: RawConnection): Promise<Finding[]>
}

/** One server, seen from the library. */
export interface Dialect
  extends KeyRules, LockRequests, Waiting, SessionRules, Transactions, Fencing, Done, Inspection {
  readonly pool: PoolDriver
}
