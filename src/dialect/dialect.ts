import type { Finding } from '../options.js'
import type { RawConnection } from '../session/connection.js'
import type { LockTable } from './lock-table.js'

/** Which server a session found at the other end. */
export interface ServerFacts {
  readonly connectionId: string
  /** Tells one server from another: cancels and locks mean something on one server only. */
  readonly identity: string
  /** When the server was started, in seconds of its own clock, give or take one: connection ids begin again then. */
  readonly startedAt: number
  readonly readOnly: boolean
  readonly user: string | undefined
  readonly host: string | undefined
  readonly database: string | undefined
  readonly version: string
  /** What the session's settings were before the library changed them. */
  readonly restore: string
  /** The lease the server says it keeps, in milliseconds; undefined when it keeps none. */
  readonly lease: number | undefined
}

/** Sends one statement and resolves to its rows. */
export type Ask = (sql: string) => Promise<unknown>

/** How a wait ended by an error of the server: somebody cancelled it, the server saw a deadlock, or a limit ran out. */
export type WaitFailure = 'cancelled' | 'slice' | 'deadlock' | 'other'

/** How a table of counters is used. Every statement stands alone, on one connection. */
export interface CounterStatements {
  readonly create: string
  /** Makes the counter of that key at least one more than it is, and more than `floor`. */
  raise(key: string, floor: bigint): string
  /** What the last `raise` of the connection made of it. */
  readonly last: string
  readonly commit: string
  /** The error says that there is no such table. */
  isMissing(error: unknown): boolean
}

/** The two statements of a lone caller, to be prepared. */
export interface PreparedRequests {
  readonly take: string
  readonly give: string
  /** The parameter for a literal; undefined for one that can only be written out. */
  parameter(literal: string): string | undefined
}

/**
 * The seam between the machinery and a server: all SQL and every quirk is behind it.
 *
 * Expressions answer with one short text each: `1` yes, `0` no. They never block, so any number of them can share a statement.
 */
export interface Dialect {
  /** The server as its users call it. */
  readonly server: string
  /** There is no other server that a DataSource of this kind could lead to. */
  readonly isCertain?: boolean | undefined
  /** Reader locks. */
  readonly hasSharedLocks: boolean

  /** A key as it stands in SQL. */
  literal(key: string): string
  /** What excludes whom, for an exact name: keys that the server may fold together must give the same text. */
  exclusionKey(key: string): string
  /** The key of an exact name, or an InvalidLockNameError for what this server would refuse. */
  exactKey(name: string | bigint): string

  /** Takes the lock if it is free: 1 taken, 0 busy. */
  take(literal: string): string
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
  /** The connection id of the holder, or nothing. */
  holderId(literal: string): string
  /** A number that rises from call to call, while this session owns the lock; nothing otherwise. */
  fencingToken(literal: string): string
  /** For fencing tokens from a table; `table` may come with its schema. */
  counter?(table: string): CounterStatements
  /** The most expressions of one statement. */
  readonly batchLimit: number
  /** One statement that evaluates expressions (joined by commas) from left to right, each exactly once. */
  batch(expressions: string): string
  /** The same for a single expression, which costs the server less. */
  single(expression: string): string
  /** `single(take(…))` and `single(give(…))` with a parameter for the literal, where a prepared statement is faster. */
  readonly prepared?: PreparedRequests | undefined
  /** The answers of a batch or a single expression; undefined where the server answered NULL. */
  readBatch(rows: unknown): (string | undefined)[]

  /** Waits up to `milliseconds` for the lock, unless `mark` is taken: answers 1, 0 or -1 in its first column. */
  wait(literal: string, mark: string, milliseconds: number): string
  waitFailure(error: unknown): WaitFailure
  /** Ends whatever statement that connection runs. */
  cancel(connectionId: string): string
  /** Ends that connection, for operators. */
  endConnection(connectionId: string): string
  readonly keepAlive: string
  /** Who has that connection, for error messages and `holder`. */
  describeConnection(connectionId: string): string
  readConnection(rows: unknown): { user?: string; host?: string; database?: string } | undefined

  /** Every lock of the server, as far as it can be seen; an error that names the grant where only a right is missing. */
  readLocks(ask: Ask): Promise<LockTable>
  /** Leaves a note on a session that whoever may see the server's locks can read. It costs the server next to nothing. */
  leaveNote(text: string): string
  /** The notes of all sessions. */
  readNotes(ask: Ask): Promise<readonly string[]>

  /** What about the server makes its locks unsafe or slow. */
  check(ask: Ask, leaseMs: number): Promise<Finding[]>

  /**
   * Sets the lease and whatever else a lock's session needs, and finds out who the server is. Where the application's work runs on
   * it, too, its limits for statements stay.
   */
  open(ask: Ask, leaseMs: number, isForWork: boolean): Promise<ServerFacts>
  /** Ends the connection at once, without an answer from the server. */
  destroy(connection: RawConnection): void
  /** False for an error of the connection itself; an error that the server sent is a sign of life like any answer. */
  isAnswer(error: unknown): boolean
  /** True when that error to a COMMIT leaves open whether it was carried out: it was interrupted, the server went down. */
  leavesCommitOpen(error: unknown): boolean
  /** True when the server has rolled the whole transaction back with that error, and not only the statement. */
  endsTransaction(error: unknown): boolean
  /** True when the driver has given up on a statement that the server may still be running. */
  isAbandoned(error: unknown): boolean
}
