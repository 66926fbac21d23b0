import type { Finding } from '../../contract/lock-info.js'
import type { LockMode } from '../../contract/options.js'
import { keyFor } from '../../names/lock-name.js'
import { permitKey } from '../../names/part-keys.js'
import { singleRow, type RawConnection } from '../../typeorm/raw-connection.js'
import type {
  CounterStatements,
  Dialect,
  PreparedRequests,
  RollbackReason,
  ServerFacts,
  SessionUse,
  TransactionStatus,
  WaitFailure,
} from '../dialect.js'
import type { Ask } from '../../typeorm/raw-connection.js'
import { readHolders, type Holders } from '../holders.js'
import { readBatch } from '../read-batch.js'
import type { LockTable } from '../lock-table.js'
import { readUserVariable } from './metadata-locks.js'
import { MARKS } from '../marks.js'
import { galeraRefusal } from './clusters.js'
import { checkLegible } from './legible.js'
import { mysqlCounter } from './mysql-counter.js'
import { mysqlDone } from './mysql-done.js'
import type { DoneRows } from '../done-rows.js'
import { openMySqlSession, replacedSettings, type ServerVariables } from './mysql-session.js'
import { MySqlWire } from './mysql-wire.js'
import { MYSQL2_POOL } from './mysql2-pool.js'
import { checkServer } from './server-check.js'
import { GIVE_AND_TAKE, hexLiteral, KEY_PARAMETER, keyParameter } from './sql-literal.js'
import * as parted from './readers-writers.js'
import { isPlain } from './readers-writers.js'
import { statusIn } from './transaction-status.js'

/** An empty text. Written as a literal it is NULL under MariaDB's sql_mode EMPTY_STRING_IS_NULL, and NULL is no answer. */
const NOTHING = 'SPACE(0)'

/** The user variable in which a session says what its locks are called. */
const NOTE = 'typeorm-named-lock'

const wires = new WeakMap<object, MySqlWire>()

/** ER_SERVER_SHUTDOWN, ER_ERROR_DURING_COMMIT, ER_QUERY_INTERRUPTED, and MariaDB's ER_CONNECTION_KILLED and ER_STATEMENT_TIMEOUT. */
const COMMIT_INTERRUPTED: ReadonlySet<unknown> = new Set([1053, 1180, 1317, 1927, 1969])

const ER_LOCK_DEADLOCK = 1213

/**
 * What MySQL and MariaDB have in common: GET_LOCK and its relatives.
 * https://dev.mysql.com/doc/refman/9.4/en/locking-functions.html, https://mariadb.com/docs/server/reference/sql-functions/secondary-functions/miscellaneous-functions/get_lock
 */
export abstract class MySqlFamily implements Dialect {
  abstract readonly server: string
  readonly hasReadableKeys = true
  readonly pool = MYSQL2_POOL
  readonly keyFor = keyFor
  readonly permitKeyFor = permitKey
  readonly noLease =
    'The server keeps no lease: it ignored SET SESSION wait_timeout, as some proxies do, or ends no session by it (Dolt). It would ' +
    'keep the locks of a vanished client for hours. Connect past the proxy, or accept that with allowNoLease: true.'
  readonly keepAlive = 'SELECT 1'
  readonly askStatus = 'DO 0'
  /** completion_type must not make it the beginning of the next one. */
  readonly rollBack = 'ROLLBACK AND NO CHAIN NO RELEASE'
  readonly batchLimit = 400
  readonly prepared: PreparedRequests | undefined = {
    take: `SELECT GET_LOCK(${KEY_PARAMETER},0) AS r`,
    give: `SELECT RELEASE_LOCK(${KEY_PARAMETER}) AS r`,
    giveAndTake: GIVE_AND_TAKE,
    parameter: keyParameter,
  }

  abstract exactKey(name: string | bigint): string
  abstract exclusionKey(key: string): string
  abstract wait(literal: string, mark: string, milliseconds: number): string
  abstract waitFailure(error: unknown): WaitFailure
  abstract readLocks(ask: Ask): Promise<LockTable>
  protected abstract readonly variables: ServerVariables

  wire(connection: RawConnection): RawConnection {
    let wire = wires.get(connection)
    if (!wire) wires.set(connection, (wire = new MySqlWire(connection)))
    return wire
  }

  literal(key: string): string {
    return hexLiteral(key)
  }

  partedLiteral(mode: LockMode | undefined, key: string, base: string): string {
    return parted.partedLiteral(mode === 'read' ? 'r' : mode === 'write' ? 'w' : 'i', key, base)
  }

  /**
   * The server folds the names of databases where lower_case_table_names is 1 or 2. DATABASE() is no answer: under 2 it is what this
   * client has written, and the application may have said USE on a pooled connection.
   */
  nameOfDatabase(configured: string | undefined): string | undefined {
    // As the server folds: in the character set of its identifiers, so that all clients of one server get one name.
    if (configured === undefined || configured === configured.toLowerCase()) return undefined
    const name = `CONVERT(${hexLiteral(configured)} USING utf8mb3)`
    return `SELECT IF(@@lower_case_table_names=0,${name},LOWER(${name})) AS d`
  }

  markLiteral(exclusionKey: string): string {
    return hexLiteral(keyFor(MARKS, exclusionKey))
  }

  take(literal: string): string {
    return isPlain(literal) ? `GET_LOCK(${literal},0)` : parted.take(literal)
  }

  takeShared(literal: string): string {
    return parted.take(literal)
  }

  isWanted(literal: string, mark: string): string {
    return parted.isWanted(literal, mark)
  }

  fill(literal: string): string {
    return parted.fill(literal)
  }

  fillLiteral(literal: string, slots: readonly number[]): string {
    return parted.fillLiteral(literal, slots)
  }

  /** The cases are evaluated in order, and none after the first that holds. */
  takeFirst(literals: string): string {
    return firstOf(literals, (literal) => `GET_LOCK(${literal},0)=1`)
  }

  ownsFirst(literals: string): string {
    return firstOf(literals, (literal) => this.owns(literal))
  }

  give(literal: string): string {
    return isPlain(literal) ? `RELEASE_LOCK(${literal})` : parted.give(literal)
  }

  passTurn(literal: string, mark: string): string {
    if (!isPlain(literal)) return parted.passTurn(literal, mark)
    return `CONCAT_WS('/',IFNULL(RELEASE_LOCK(${literal}),0),IF(IS_FREE_LOCK(${mark}),IFNULL(GET_LOCK(${literal},0),0),-1))`
  }

  isFree(literal: string): string {
    return isPlain(literal) ? `IS_FREE_LOCK(${literal})` : parted.isFree(literal)
  }

  owns(literal: string): string {
    return isPlain(literal) ? `(IS_USED_LOCK(${literal})<=>CONNECTION_ID())` : parted.owns(literal)
  }

  ownsAllOrNone(literal: string): string {
    return isPlain(literal) ? this.owns(literal) : parted.ownsAllOrNone(literal)
  }

  holderId(literal: string): string {
    return isPlain(literal) ? `IFNULL(IS_USED_LOCK(${literal}),${NOTHING})` : parted.holderIds(literal)
  }

  readHolders(literal: string, answer: string): Holders {
    return isPlain(literal) ? readHolders(answer) : parted.readHolders(answer)
  }

  fencingToken(literal: string): string {
    return isPlain(literal)
      ? `IF(IS_USED_LOCK(${literal})<=>CONNECTION_ID(),UUID_SHORT(),${NOTHING})`
      : parted.fencingToken(literal, NOTHING)
  }

  done(table: string): DoneRows {
    return mysqlDone(table)
  }

  counter(table: string): CounterStatements {
    return mysqlCounter(table)
  }

  /**
   * One text instead of a column for each answer: a third faster than columns, and mysql2 compiles one parser for all
   * sizes instead of one for each. The arguments are evaluated from left to right, each once (a test holds on to that).
   * CONCAT_WS leaves NULLs out: a batch with too few answers counts as failed and is looked into.
   */
  batch(expressions: string, count: number): string {
    return count === 1 ? this.single(expressions) : `SELECT CONCAT_WS(',',${expressions}) AS r`
  }

  single(expression: string): string {
    return `SELECT ${expression} AS r`
  }

  readBatch = readBatch

  cancel(connectionId: string): string {
    return `KILL QUERY ${connectionId}`
  }

  endConnection(connectionId: string): string {
    return `KILL CONNECTION ${connectionId}`
  }

  describeConnection(connectionId: string): string {
    return `SELECT USER AS u,HOST AS h,DB AS d FROM information_schema.PROCESSLIST WHERE ID=${connectionId}`
  }

  readConnection(rows: unknown): { user?: string; host?: string; database?: string } | undefined {
    if (!(rows as unknown[]).length) return undefined
    const [user, host, database] = singleRow(rows)
    return {
      ...(user !== undefined && { user }),
      // A TCP client's host comes with its port, which is of no use.
      ...(host !== undefined && { host: host.replace(/:\d+$/, '') }),
      ...(database !== undefined && { database }),
    }
  }

  /** A connection that has sent its last answer, and waits for the next statement, sleeps: its wait_timeout runs. */
  atWork(connectionId: string): string {
    return `SELECT ${this.variables.identity} AS s,(SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID=${connectionId} AND COMMAND<>'Sleep') AS n`
  }

  readAtWork(rows: unknown, { identity }: ServerFacts): boolean {
    const [server, count] = singleRow(rows)
    return server === identity && count === '1'
  }

  /** A user variable: visible in performance_schema to all users that see the locks, and gone with the session. */
  leaveNote(text: string): string {
    return `SET @\`${NOTE}\`=CONVERT(${hexLiteral(text)} USING utf8mb4)`
  }

  async readNotes(ask: Ask): Promise<readonly string[]> {
    return (await readUserVariable(ask, NOTE)).map(([, value]) => value)
  }

  async check(ask: Ask, leaseMs: number, connection: RawConnection): Promise<Finding[]> {
    const illegible = await checkLegible(ask)
    // Whatever else was found out would be made of such answers.
    if (illegible) return [illegible]
    return checkServer(ask, this, leaseMs, replacedSettings(connection))
  }

  open(ask: Ask, leaseMs: number, use: SessionUse, connection: RawConnection): Promise<ServerFacts> {
    return openMySqlSession(ask, this.variables, leaseMs, use, connection)
  }

  refusalOf(error: unknown): Finding | undefined {
    return galeraRefusal(error)
  }

  destroy(connection: RawConnection): void {
    const socket = connection as RawConnection & { destroy(): void; stream?: { destroy(error: Error): void } }
    connection.on('error', () => {}) // it may emit once more, and has no other listener
    // mysql2 says nothing to the statements in flight on a connection that it closes itself, and they would never settle;
    // to an error of the socket it listens. Against a frozen server nothing else ends them.
    socket.stream?.destroy(
      Object.assign(new Error('The connection was given up.'), { fatal: true, code: 'PROTOCOL_CONNECTION_LOST' }),
    )
    socket.destroy() // takes it out of the pool
  }

  isAnswer(error: unknown): boolean {
    const { errno, fatal, sqlState } = error as { errno?: unknown; fatal?: unknown; sqlState?: unknown }
    return typeof errno === 'number' && sqlState !== undefined && fatal !== true
  }

  /** mysql2's `timeout` of a query, which TypeORM sets with `enableQueryTimeout`. */
  isAbandoned(error: unknown): boolean {
    return (error as { code?: unknown }).code === 'PROTOCOL_SEQUENCE_TIMEOUT'
  }

  isAftermath(): boolean {
    return false
  }

  /**
   * The victim of a deadlock of row locks or metadata locks is rolled back. MariaDB's GET_LOCK has the same error, which ends only its
   * statement.
   */
  rollbackReason(error: unknown, hasEnded: boolean): RollbackReason | undefined {
    return hasEnded && (error as { errno?: unknown }).errno === ER_LOCK_DEADLOCK ? 'deadlock' : undefined
  }

  /** A COMMIT commits, or fails. */
  isRolledBack(): boolean {
    return false
  }

  leavesCommitOpen(error: unknown): boolean {
    return COMMIT_INTERRUPTED.has((error as { errno?: unknown }).errno)
  }

  statusAfter(result: unknown): TransactionStatus | undefined {
    return statusIn(result)
  }
}

function firstOf(literals: string, condition: (literal: string) => string): string {
  const cases = literals.split(' ').map((literal, at) => ` WHEN ${condition(literal)} THEN ${at + 1}`)
  return `CASE${cases.join('')} ELSE 0 END`
}
