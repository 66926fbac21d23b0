import type { Finding } from '../../contract/lock-info.js'
import { keyFor } from '../../names/lock-name.js'
import { singleRow, singleValue, type RawConnection } from '../../typeorm/raw-connection.js'
import type {
  CounterStatements,
  Dialect,
  PreparedRequests,
  ServerFacts,
  SessionUse,
  TransactionStatus,
  WaitFailure,
} from '../dialect.js'
import type { Ask } from '../../typeorm/raw-connection.js'
import type { LockTable } from '../lock-table.js'
import { readUserVariable } from './metadata-locks.js'
import { MARKS } from '../marks.js'
import { checkLegible, PROBE, refuseIllegible } from './legible.js'
import { MySqlWire } from './mysql-wire.js'
import { MYSQL2_POOL } from './mysql2-pool.js'
import { checkServer, type ReplacedSettings } from './server-check.js'
import { hexLiteral, KEY_PARAMETER, keyParameter } from './sql-literal.js'

const ER_NO_SUCH_TABLE = 1146

/**
 * A lease ends on the server at least this much after the client has given its locks up, so that the client knows first:
 * half a second for timers that are late, or a thousandth of the lease for clocks that run apart.
 */
const SERVER_GRACE = { least: 500, part: 1 / 1000 }

/** An empty text. Written as a literal it is NULL under MariaDB's sql_mode EMPTY_STRING_IS_NULL, and NULL is no answer. */
const NOTHING = 'SPACE(0)'

/** The user variable in which a session says what its locks are called. */
const NOTE = 'typeorm-named-lock'

const wires = new WeakMap<object, MySqlWire>()

/** What a session has set to its own values: check() may run on its connection, and has to report the application's. */
const replaced = new WeakMap<object, ReplacedSettings>()

/** https://dev.mysql.com/doc/dev/mysql-server/latest/mysql__com_8h.html#a1d854e841086925be1883e4d7b4e8cad */
const SERVER_STATUS_IN_TRANS = 1
const SERVER_STATUS_AUTOCOMMIT = 2
/** ER_SERVER_SHUTDOWN, ER_ERROR_DURING_COMMIT, ER_QUERY_INTERRUPTED, and MariaDB's ER_CONNECTION_KILLED and ER_STATEMENT_TIMEOUT. */
const COMMIT_INTERRUPTED: ReadonlySet<unknown> = new Set([1053, 1180, 1317, 1927, 1969])

/**
 * What MySQL and MariaDB have in common: GET_LOCK and its relatives.
 * https://dev.mysql.com/doc/refman/9.4/en/locking-functions.html, https://mariadb.com/docs/server/reference/sql-functions/secondary-functions/miscellaneous-functions/get_lock
 */
export abstract class MySqlFamily implements Dialect {
  abstract readonly server: string
  readonly hasReadableKeys = true
  readonly pool = MYSQL2_POOL
  readonly keyFor = keyFor
  readonly noLease =
    'The server did not take the lease (SET SESSION wait_timeout was ignored, as some proxies do): it would keep the locks ' +
    'of a vanished client for hours. Connect past the proxy, or accept that with allowNoLease: true.'
  readonly keepAlive = 'SELECT 1'
  readonly askStatus = 'DO 0'
  /** completion_type must not make it the beginning of the next one. */
  readonly rollBack = 'ROLLBACK AND NO CHAIN NO RELEASE'
  readonly batchLimit = 400
  readonly prepared: PreparedRequests | undefined = {
    take: `SELECT GET_LOCK(${KEY_PARAMETER},0) AS r`,
    give: `SELECT RELEASE_LOCK(${KEY_PARAMETER}) AS r`,
    parameter: keyParameter,
  }

  abstract exactKey(name: string | bigint): string
  abstract exclusionKey(key: string): string
  abstract wait(literal: string, mark: string, milliseconds: number): string
  abstract waitFailure(error: unknown): WaitFailure
  abstract readLocks(ask: Ask): Promise<LockTable>
  /** The variable that limits how long a statement may run. */
  protected abstract readonly timeLimit: string
  /**
   * Limits for a transaction's silence that are in force, with their values. They would end a session within its lease: while it lives,
   * the lease alone says how long it may be silent.
   */
  protected idleLimits(_ask: Ask): Promise<readonly (readonly [name: string, value: number])[]> {
    return Promise.resolve([])
  }
  /** An expression that names the server. */
  protected abstract readonly identity: string

  wire(connection: RawConnection): RawConnection {
    let wire = wires.get(connection)
    if (!wire) wires.set(connection, (wire = new MySqlWire(connection)))
    return wire
  }

  literal(key: string): string {
    return hexLiteral(key)
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
    return `GET_LOCK(${literal},0)`
  }

  give(literal: string): string {
    return `RELEASE_LOCK(${literal})`
  }

  passTurn(literal: string, mark: string): string {
    return `CONCAT_WS('/',IFNULL(RELEASE_LOCK(${literal}),0),IF(IS_FREE_LOCK(${mark}),IFNULL(GET_LOCK(${literal},0),0),-1))`
  }

  isFree(literal: string): string {
    return `IS_FREE_LOCK(${literal})`
  }

  owns(literal: string): string {
    return `(IS_USED_LOCK(${literal})<=>CONNECTION_ID())`
  }

  holderId(literal: string): string {
    return `IFNULL(IS_USED_LOCK(${literal}),${NOTHING})`
  }

  fencingToken(literal: string): string {
    return `IF(IS_USED_LOCK(${literal})<=>CONNECTION_ID(),UUID_SHORT(),${NOTHING})`
  }

  counter(table: string): CounterStatements {
    const name = table
      .split('.')
      .map((part) => `\`${part}\``)
      .join('.')
    return {
      create:
        `CREATE TABLE IF NOT EXISTS ${name} (lock_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, ` +
        'token BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB',
      raise: (key, floor) =>
        `INSERT INTO ${name} (lock_key,token) VALUES (${hexLiteral(key)},LAST_INSERT_ID(${floor + 1n})) ` +
        `ON DUPLICATE KEY UPDATE token=LAST_INSERT_ID(GREATEST(token,${floor})+1)`,
      last: 'SELECT CAST(LAST_INSERT_ID() AS CHAR) AS t',
      commit: 'COMMIT',
      isMissing: (error) => (error as { errno?: number }).errno === ER_NO_SUCH_TABLE,
    }
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

  readBatch(rows: unknown): (string | undefined)[] {
    const answers = singleValue(rows)
    return answers === undefined ? [] : answers.length === 1 ? [answers] : answers.split(',')
  }

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
      // A TCP client's host comes with its port, which says nothing to anybody.
      ...(host !== undefined && { host: host.replace(/:\d+$/, '') }),
      ...(database !== undefined && { database }),
    }
  }

  /** A connection that has sent its last answer, and waits for the next statement, sleeps: its wait_timeout runs. */
  atWork(connectionId: string): string {
    return `SELECT ${this.identity} AS s,(SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID=${connectionId} AND COMMAND<>'Sleep') AS n`
  }

  readAtWork(rows: unknown, { identity }: ServerFacts): boolean {
    const [server, count] = singleRow(rows)
    return server === identity && count === '1'
  }

  /** A user variable: visible in performance_schema to those who see the locks, and gone with the session. */
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
    return checkServer(ask, this, leaseMs, replaced.get(connection))
  }

  async open(ask: Ask, leaseMs: number, use: SessionUse, connection: RawConnection): Promise<ServerFacts> {
    const isForWork = use !== 'locks'
    const before = singleRow(
      await ask(
        `SELECT @@SESSION.wait_timeout AS w,@@SESSION.${this.timeLimit} AS t,@@SESSION.autocommit AS a,@@SESSION.completion_type AS c,${PROBE}`,
      ),
    )
    await refuseIllegible(ask, before.slice(4))
    // A COMMIT must not begin the next transaction, or end the connection; and what holds locks only must hold no snapshot. Where
    // work runs that has to commit by itself, autocommit stays off.
    const own = [
      ...(isForWork || before[2] === '1' ? [] : [['autocommit', '1', '0'] as const]),
      ...(use === 'transaction' || before[3] === 'NO_CHAIN'
        ? []
        : [['completion_type', "'NO_CHAIN'", `'${before[3]}'`] as const]),
    ]
    replaced.set(connection, { autocommit: before[2], completionType: before[3] })
    const seconds = Math.ceil((leaseMs + Math.max(SERVER_GRACE.least, leaseMs * SERVER_GRACE.part)) / 1000)
    const idle = await this.idleLimits(ask)
    const changed = [...idle.map(([name, value]) => [name, '0', String(value)] as const), ...own]
    const set = await ask(
      `SET SESSION wait_timeout=${seconds}${changed.map(([name, value]) => `,SESSION ${name}=${value}`).join('')}` +
        (isForWork ? '' : `,SESSION ${this.timeLimit}=0`),
    )
    // Read back on purpose: a proxy may swallow the SET, and then the server would keep a vanished client's locks for hours.
    const [id, lease, identity, user, database] = singleRow(
      await ask(
        `SELECT CONNECTION_ID() AS i,@@SESSION.wait_timeout AS w,${this.identity} AS s,USER() AS u,DATABASE() AS d`,
      ),
    )
    const [clock] = singleRow(await ask('SELECT UNIX_TIMESTAMP(SYSDATE()) AS t'))
    const [, uptime] = singleRow(await ask("SHOW GLOBAL STATUS LIKE 'Uptime'"))
    const at = user?.lastIndexOf('@') ?? -1
    return {
      connectionId: id ?? '',
      identity: identity ?? 'unknown',
      startedAt: Number(clock) - Number(uptime),
      user: user?.slice(0, at),
      host: user?.slice(at + 1),
      database,
      restore:
        `SET SESSION wait_timeout=${Number(before[0])}${changed.map(([name, , value]) => `,SESSION ${name}=${value}`).join('')}` +
        (isForWork ? '' : `,SESSION ${this.timeLimit}=${Number(before[1])}`),
      // A session that began with autocommit off is told the opposite by MySQL 9's packets.
      status: isForWork && before[2] === '0' ? 'implicit' : this.statusAfter(set),
      lease: Number(lease) === seconds ? leaseMs : undefined,
    }
  }

  destroy(connection: RawConnection): void {
    const socket = connection as RawConnection & { destroy(): void; stream?: { destroy(error: Error): void } }
    connection.on('error', () => {}) // it may tell once more, and nobody else listens
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

  /** A COMMIT commits, or fails. */
  isRolledBack(): boolean {
    return false
  }

  leavesCommitOpen(error: unknown): boolean {
    return COMMIT_INTERRUPTED.has((error as { errno?: unknown }).errno)
  }

  /** OK packets carry it. What a SELECT answers with ends without one, as far as the drivers show it. */
  statusAfter(result: unknown): TransactionStatus | undefined {
    const status = okPacketIn(result)?.serverStatus
    if (typeof status !== 'number') return undefined
    return status & SERVER_STATUS_IN_TRANS ? 'open' : status & SERVER_STATUS_AUTOCOMMIT ? 'none' : 'implicit'
  }
}

/** mysql2's and mysql's name for an OK packet. */
const OK_PACKETS: ReadonlySet<unknown> = new Set(['ResultSetHeader', 'OkPacket'])

/** The last OK packet in an answer. Of a procedure, or several statements, there is a list, in which those with rows are lists themselves. */
function okPacketIn(result: unknown): { readonly serverStatus?: unknown } | undefined {
  let last: unknown = result
  if (Array.isArray(result)) {
    let i = result.length - 1
    while (i >= 0 && Array.isArray(result[i])) i--
    last = result[i]
  }
  const isOk = OK_PACKETS.has((last as object | undefined | null)?.constructor.name)
  return isOk ? (last as { serverStatus?: unknown }) : undefined
}
