import { postgresKeyFor } from '../../names/lock-name.js'
import { postgresPermitKey } from '../../names/part-keys.js'
import type { LockName } from '../../contract/options.js'
import type { Finding } from '../../contract/lock-info.js'
import { singleRow, type RawConnection } from '../../typeorm/raw-connection.js'
import type {
  CounterStatements,
  Dialect,
  RollbackReason,
  ServerFacts,
  SessionUse,
  TransactionStatus,
  WaitFailure,
  WaitLimits,
} from '../dialect.js'
import type { Ask } from '../../typeorm/raw-connection.js'
import { postgresExactKey } from '../../names/exact-names.js'
import { readHolders, type Holders } from '../holders.js'
import { readBatch } from '../read-batch.js'
import type { LockTable } from '../lock-table.js'
import { MARKS } from '../marks.js'
import { PG_POOL } from './pg-pool.js'
import { cancelBackend, PgWire, type PgClient } from './pg-wire.js'
import { checkPostgres } from './postgres-check.js'
import { postgresCounter } from './postgres-counter.js'
import { postgresDone } from './postgres-done.js'
import type { DoneRows } from '../done-rows.js'
import { batchText, COMMITTED_TOKEN, sqlOf, writersMark } from './postgres-expressions.js'
import { readPgLocks } from './postgres-locks.js'
import { openPostgresSession, serverOf } from './postgres-session.js'

/**
 * A statement that blocks for a lock has a snapshot for all that time. CREATE INDEX CONCURRENTLY and its relatives wait for the end of every
 * snapshot of the database that is older than theirs, and VACUUM keeps what it might see. A new statement has a new snapshot.
 */
const WAIT_LIMITS: WaitLimits = {
  usual: 50,
  // deadlock_timeout is 1 s by default, and only superusers may change it.
  detecting: 1_250,
}

const SAVEPOINT = 'typeorm_named_lock'

/** Errors with which the server ends the connection: shutdowns, pg_terminate_backend, and the timeouts that make the lease. */
const LAST_WORDS: ReadonlySet<unknown> = new Set(['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04'])

const QUERY_CANCELED = '57014'
const LOCK_NOT_AVAILABLE = '55P03'
const IN_FAILED_TRANSACTION = '25P02'
const DEADLOCK_DETECTED = '40P01'
const SERIALIZATION_FAILURE = '40001'
/** statement_completion_unknown, transaction_resolution_unknown */
const COMMIT_UNKNOWN: ReadonlySet<unknown> = new Set(['40003', '08007'])

const wires = new WeakMap<object, PgWire>()

/**
 * PostgreSQL: session advisory locks, one 64-bit number each, of one database.
 * https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 *
 * An expression is a code of one letter and a literal (postgres-expressions.ts), not SQL: what comes in great numbers, taking and
 * giving back, is two arrays for one prepared statement.
 */
export class PostgresDialect implements Dialect {
  readonly server = 'PostgreSQL'
  readonly isCertain = true
  readonly hasReadableKeys = false
  readonly pool = PG_POOL
  readonly keepAlive = 'SELECT 1'
  readonly rollBack = 'ROLLBACK'
  readonly answersByPromise = true
  readonly batchLimit = 400
  readonly mostLocks = 1_000
  readonly waitLimits = WAIT_LIMITS
  readonly prepared = {
    take: "SELECT CASE WHEN pg_catalog.pg_try_advisory_lock($1::int8) THEN '1' ELSE '0' END AS r",
    give: "SELECT CASE WHEN pg_catalog.pg_advisory_unlock($1::int8) THEN '1' ELSE '0' END AS r",
    giveAndTake:
      "SELECT CASE WHEN pg_catalog.pg_advisory_unlock($1::int8) THEN '1' ELSE '0' END||','||" +
      "CASE WHEN pg_catalog.pg_try_advisory_lock($2::int8) THEN '1' ELSE '0' END AS r",
    parameter: (literal: string): string | undefined => (/^-?\d/.test(literal) ? literal : undefined),
  }
  readonly noLease =
    'The server keeps no lease: it has no idle_session_timeout (PostgreSQL before 14), or ignored it (a pooler in between). It would ' +
    "keep the locks of a vanished client until the operating system's TCP keepalive gives the connection up, 2 hours by default. " +
    'Use PostgreSQL 14 or later and connect past the pooler, or accept that with allowNoLease: true.'
  readonly afterFailedWait = `ROLLBACK TO SAVEPOINT ${SAVEPOINT};RELEASE SAVEPOINT ${SAVEPOINT}`

  wire(connection: RawConnection): RawConnection {
    let wire = wires.get(connection)
    if (!wire) wires.set(connection, (wire = new PgWire(connection as unknown as PgClient)))
    return wire
  }

  /** Its names are as they are written, but a pooler's alias is another name. */
  nameOfDatabase(): string {
    return 'SELECT pg_catalog.current_database()::text AS d'
  }

  keyFor(namespace: string | false, name: LockName): string {
    return postgresKeyFor(namespace, name).toString()
  }

  permitKeyFor(namespace: string | false, name: LockName, number: number): string {
    return postgresPermitKey(namespace, name, number).toString()
  }

  exactKey(name: LockName): string {
    return postgresExactKey(name).toString()
  }

  exclusionKey(key: string): string {
    return key
  }

  literal(key: string): string {
    return key
  }

  /** A pair of integers: a space of its own, so that no mark is a key. */
  markLiteral(exclusionKey: string): string {
    return `m${postgresKeyFor(MARKS, exclusionKey)}`
  }

  sharedLiteral = (literal: string): string => `s${literal}`
  writersMark = writersMark
  take = (literal: string): string => `t${literal}`
  takeFirst = (literals: string): string => `i${literals}`
  takeShared = (literal: string): string => `q${literal}`
  isWanted = (literal: string, mark: string): string => `a${literal};${mark}`
  give = (literal: string): string => `g${literal}`
  passTurn = (literal: string, mark: string): string => `p${literal};${mark}`
  isFree = (literal: string): string => `f${literal}`
  owns = (literal: string): string => `o${literal}`
  ownsFirst = (literals: string): string => `j${literals}`
  holderId = (literal: string): string => `h${literal}`
  readHolders = (_literal: string, answer: string): Holders => readHolders(answer)
  fencingToken = (literal: string): string => `x${literal}`
  fencingTokenInWork = (literal: string): string => `y${literal}`
  readonly freshToken = `SELECT ${COMMITTED_TOKEN}`

  batch(expressions: string): string {
    return batchText(expressions.split(','))
  }

  single(expression: string): string {
    return `SELECT ${sqlOf(expression)} AS r`
  }

  readBatch = readBatch

  /**
   * All in one statement: the limit is in force for this statement alone, and what was there before comes back within the
   * transaction. An error ends the transaction around it, and only a savepoint saves it.
   */
  wait(literal: string, mark: string, milliseconds: number, inTransaction: boolean): string {
    const limit = Math.max(1, Math.round(milliseconds))
    const wait =
      `SELECT CASE WHEN NOT ${sqlOf(`f${mark}`, true)} THEN '-1' WHEN pg_catalog.set_config('lock_timeout','${limit}',true) IS NULL THEN '0' ` +
      `WHEN ${sqlOf(`w${literal}`, true)} IS NULL THEN '0' WHEN pg_catalog.set_config('lock_timeout',b,true) IS NULL THEN '0' ELSE '1' END AS r ` +
      `FROM (SELECT pg_catalog.current_setting('lock_timeout') AS b OFFSET 0) AS s`
    return inTransaction ? `SAVEPOINT ${SAVEPOINT};${wait};RELEASE SAVEPOINT ${SAVEPOINT}` : wait
  }

  /** Whichever it is, the lock may have been granted just before: the waiter has to check. */
  waitFailure(error: unknown): WaitFailure {
    switch ((error as { code?: unknown }).code) {
      case QUERY_CANCELED:
        return 'cancelled'
      case LOCK_NOT_AVAILABLE:
        return 'slice'
      case DEADLOCK_DETECTED:
        return 'deadlock'
      default:
        return 'other'
    }
  }

  cancel(connectionId: string): string {
    return `SELECT pg_catalog.pg_cancel_backend(${connectionId})`
  }

  endConnection(connectionId: string): string {
    return `SELECT pg_catalog.pg_terminate_backend(${connectionId})`
  }

  describeConnection(connectionId: string): string {
    return `SELECT usename,pg_catalog.host(client_addr),datname FROM pg_catalog.pg_stat_activity WHERE pid=${connectionId}`
  }

  readConnection(rows: unknown): { user?: string; host?: string; database?: string } | undefined {
    if (!(rows as unknown[]).length) return undefined
    const [user, host, database] = singleRow(rows)
    return {
      ...(user !== undefined && { user }),
      ...(host !== undefined && { host }),
      ...(database !== undefined && { database }),
    }
  }

  /** Without track_activities the state is not visible: then the connection only has to exist. */
  atWork(connectionId: string): string {
    return (
      'SELECT pg_catalog.inet_server_port(),extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,' +
      `(SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE pid=${connectionId} AND state NOT LIKE 'idle%')`
    )
  }

  readAtWork(rows: unknown, { identity }: ServerFacts): boolean {
    const [port, startedAt, count] = singleRow(rows)
    return identity === serverOf(port, startedAt) && count === '1'
  }

  readLocks(ask: Ask): Promise<LockTable> {
    return readPgLocks(ask)
  }

  readNotes(): Promise<readonly string[]> {
    return Promise.resolve([])
  }

  check(ask: Ask, leaseMs: number, connection: RawConnection): Promise<Finding[]> {
    return checkPostgres(ask, leaseMs, connection as unknown as PgClient)
  }

  done(table: string): DoneRows {
    return postgresDone(table)
  }

  counter(table: string): CounterStatements {
    return postgresCounter(table)
  }

  open(ask: Ask, leaseMs: number, use: SessionUse, connection: RawConnection): Promise<ServerFacts> {
    return openPostgresSession(ask, leaseMs, use, connection as unknown as PgClient)
  }

  /** pg's `release(true)` behind TypeORM's back would make its `destroy()` spin forever; a client that was ended leaves the pool. */
  destroy(connection: RawConnection): void {
    const client = connection as unknown as PgClient
    client.on('error', () => {}) // it may emit once more, and has no other listener
    if (client.readyForQuery === false) cancelBackend(client)
    void client.end().catch(() => {})
    // Against a frozen server nothing else ends it.
    client.connection?.stream?.destroy()
  }

  isAnswer(error: unknown): boolean {
    const { code, severity } = error as { code?: unknown; severity?: unknown }
    if (typeof code !== 'string' || severity === undefined) return false
    return !LAST_WORDS.has(code) && !code.startsWith('08') && severity !== 'FATAL' && severity !== 'PANIC'
  }

  /** pg's `query_timeout`. */
  isAbandoned(error: unknown): boolean {
    return (error as { message?: unknown }).message === 'Query read timeout'
  }

  leavesCommitOpen(error: unknown): boolean {
    return COMMIT_UNKNOWN.has((error as { code?: unknown }).code)
  }

  /** After an error every statement is refused until the ROLLBACK: nothing can go on by mistake, and nothing has to be asked. */
  statusAfter(_result: unknown, connection: RawConnection): TransactionStatus | undefined {
    const status = (connection as unknown as PgClient).getTransactionStatus?.()
    return typeof status === 'string' ? (status === 'I' ? 'none' : 'open') : undefined
  }

  isAftermath(error: unknown): boolean {
    return (error as { code?: unknown }).code === IN_FAILED_TRANSACTION
  }

  rollbackReason(error: unknown): RollbackReason | undefined {
    switch ((error as { code?: unknown }).code) {
      case DEADLOCK_DETECTED:
        return 'deadlock'
      case SERIALIZATION_FAILURE:
        return 'serialization'
      default:
        return undefined
    }
  }

  /** COMMIT of a transaction in which a statement has failed. No error reports it. */
  isRolledBack(result: unknown): boolean {
    return (result as { command?: unknown } | undefined)?.command === 'ROLLBACK'
  }
}
