import { Client } from 'pg'
import { postgresKeyFor } from '../../src/names/lock-name.js'
import type { ProcessRow, SqlAddress, UserLockRow } from './sql-client.js'

/** The application name that marks the tests' own connections. */
const OUTSIDER = 'outsider'

const NOT_OUTSIDERS = `backend_type = 'client backend' AND application_name <> '${OUTSIDER}'`

/** Statements of the tests, by their MySQL form. */
const PHRASES: readonly [RegExp, string][] = [
  [/^SELECT SLEEP\((.+)\)$/, 'SELECT pg_sleep($1)'],
  [/^DO RELEASE_ALL_LOCKS\(\)$/, 'SELECT pg_advisory_unlock_all()'],
  [/^USE .*$/, 'SELECT 1'],
  [/ ENGINE=InnoDB/, ''],
]

/** An outsider on PostgreSQL, the counterpart of SqlClient. Keys may also have MySQL's form: `namespace.name`. */
export class PgClient {
  readonly #client: Client
  /** Serialises statements, because the driver warns about concurrent ones. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(
    client: Client,
    readonly id: string,
  ) {
    this.#client = client
  }

  static async connect(address: SqlAddress, database: string, isOutsider: boolean): Promise<PgClient> {
    const client = new Client({
      host: address.host,
      port: address.port,
      user: address.username,
      password: address.password,
      database,
      ...(isOutsider && { application_name: OUTSIDER }),
    })
    client.on('error', () => undefined) // a test may kill the connection; the next statement reports it
    await client.connect()
    const { rows } = await client.query<{ id: string }>('SELECT pg_backend_pid()::text AS id')
    return new PgClient(client, rows[0]!.id)
  }

  async query<Row = any>(sql: string, parameters: readonly unknown[] = []): Promise<Row[]> {
    let text = sql
    for (const [pattern, replacement] of PHRASES) text = text.replace(pattern, replacement)
    let count = 0
    text = text.replaceAll('?', () => `$${++count}`)
    const result = this.#last.then(() => this.#client.query(text, [...parameters]))
    this.#last = result.catch(() => undefined)
    return (await result).rows as Row[]
  }

  async value(sql: string, parameters: readonly unknown[] = []): Promise<unknown> {
    const [row] = await this.query<Record<string, unknown>>(sql, parameters)
    return row && Object.values(row)[0]
  }

  /** The statement of an application without the library. */
  async getLock(key: string, seconds = 0): Promise<boolean> {
    const number = advisoryKey(key)
    if (seconds === 0) return (await this.value('SELECT pg_try_advisory_lock(?)', [number])) === true
    await this.query(`SET lock_timeout = ${Math.round(seconds * 1000)}`)
    try {
      await this.query('SELECT pg_advisory_lock(?)', [number])
      return true
    } catch (error) {
      if ((error as { code?: string }).code !== '55P03') throw error
      return false
    }
  }

  async releaseLock(key: string): Promise<boolean> {
    return (await this.value('SELECT pg_advisory_unlock(?)', [advisoryKey(key)])) === true
  }

  async holderOf(key: string): Promise<string | null> {
    const sql = `SELECT pid::text FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32) | objid::bigint = ?::bigint`
    return ((await this.value(sql, [advisoryKey(key)])) as string | undefined) ?? null
  }

  async kill(connectionId: string): Promise<void> {
    await this.query(`SELECT pg_terminate_backend(${Number(connectionId)})`)
  }

  async cancel(connectionId: string): Promise<void> {
    await this.query(`SELECT pg_cancel_backend(${Number(connectionId)})`)
  }

  async connectionsOf(database: string): Promise<ProcessRow[]> {
    return this.query<ProcessRow>(
      `SELECT pid::text AS id, datname AS "database", state AS command, query AS statement
       FROM pg_stat_activity WHERE datname = ? AND ${NOT_OUTSIDERS}`,
      [database],
    )
  }

  /** The advisory locks that connections of a database hold or wait for, including the library's marks. */
  async userLocksOf(database: string): Promise<UserLockRow[]> {
    return this.query<UserLockRow>(
      `SELECT ((l.classid::bigint << 32) | l.objid::bigint)::text AS key, l.pid::text AS "connectionId",
         CASE WHEN l.granted THEN 'GRANTED' ELSE 'PENDING' END AS status, l.objsubid = 2 AS "isMark"
       FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
       WHERE l.locktype = 'advisory' AND a.datname = ? AND ${NOT_OUTSIDERS}`,
      [database],
    )
  }

  /** Numbers that change only if a connection other than the outsiders' runs a statement. */
  async counters(): Promise<{ statements: number; connections: number }> {
    const [row] = await this.query<{ last: string; connections: string }>(
      `SELECT coalesce(max(extract(epoch FROM state_change) * 1000000), 0)::bigint::text AS last, count(*)::text AS connections
       FROM pg_stat_activity WHERE ${NOT_OUTSIDERS}`,
    )
    return { statements: Number(row!.last), connections: Number(row!.connections) }
  }

  async dropDatabase(name: string): Promise<void> {
    await this.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
  }

  async end(): Promise<void> {
    await this.#client.end().catch(() => undefined)
  }
}

/** The number of a key, given as the library shows it or in MySQL's form. */
export function advisoryKey(key: string): string {
  if (/^-?\d+$/.test(key)) return key
  const [, namespace, name] = /^([^.]+)\.(.+)$/s.exec(key) ?? []
  return (namespace === undefined ? postgresKeyFor(false, key) : postgresKeyFor(namespace, name!)).toString()
}
