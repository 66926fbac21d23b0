import { createConnection, type Connection } from 'mysql2/promise'
import { PgClient } from './pg-client.js'

export interface SqlAddress {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
  /** The kind of server; MySQL's protocol by default. */
  readonly kind?: string
  readonly database?: string
}

export interface ProcessRow {
  readonly id: string
  readonly database: string | null
  readonly command: string
  readonly statement: string | null
}

export interface UserLockRow {
  readonly key: string
  readonly connectionId: string
  readonly status: 'GRANTED' | 'PENDING'
  /** Whether it is a polling mark of the library. */
  readonly isMark: boolean
}

/** An outsider: a plain connection that does not use the library. */
export class SqlClient {
  readonly #connection: Connection

  private constructor(
    connection: Connection,
    /** The server's id of this connection. */
    readonly id: string,
  ) {
    this.#connection = connection
  }

  /** `isOutsider`: marks the connection, so that searches for connections of the library exclude it. */
  static async connect(address: SqlAddress, database?: string, isOutsider = true): Promise<SqlClient> {
    if (address.kind === 'postgres') {
      // PostgreSQL has the same interface; locks belong to one database there.
      return (await PgClient.connect(address, database ?? address.database ?? '', isOutsider)) as unknown as SqlClient
    }
    const connection = await createConnection({
      host: address.host,
      port: address.port,
      user: address.username,
      password: address.password,
      ...(database === undefined ? {} : { database }),
      supportBigNumbers: true,
      bigNumberStrings: true,
    })
    connection.on('error', () => undefined) // a test may kill the connection; the next statement reports it
    const [rows] = await connection.query<any[]>('SELECT CAST(CONNECTION_ID() AS CHAR) AS id')
    return new SqlClient(connection, String(rows[0].id))
  }

  async query<Row = any>(sql: string, parameters: readonly unknown[] = []): Promise<Row[]> {
    const [rows] = await this.#connection.query(sql, [...parameters])
    return rows as Row[]
  }

  async value(sql: string, parameters: readonly unknown[] = []): Promise<unknown> {
    const [row] = await this.query<Record<string, unknown>>(sql, parameters)
    return row && Object.values(row)[0]
  }

  /** The GET_LOCK of an application without the library. */
  async getLock(key: string, seconds = 0): Promise<boolean> {
    return Number(await this.value('SELECT GET_LOCK(?, ?)', [key, seconds])) === 1
  }

  async releaseLock(key: string): Promise<boolean> {
    return Number(await this.value('SELECT RELEASE_LOCK(?)', [key])) === 1
  }

  /** The connection that holds the lock, or null. */
  async holderOf(key: string): Promise<string | null> {
    return (await this.value('SELECT CAST(IS_USED_LOCK(?) AS CHAR)', [key])) as string | null
  }

  async kill(connectionId: string): Promise<void> {
    await this.query(`KILL ${Number(connectionId)}`)
  }

  /** Cancels the running statement of a connection, and nothing else. */
  async cancel(connectionId: string): Promise<void> {
    await this.query(`KILL QUERY ${Number(connectionId)}`)
  }

  /** The connections that use a database, except this one. */
  async connectionsOf(database: string): Promise<ProcessRow[]> {
    return this.query<ProcessRow>(
      `SELECT CAST(ID AS CHAR) AS id, DB AS \`database\`, COMMAND AS command, INFO AS statement
       FROM information_schema.PROCESSLIST WHERE DB = ? AND ID <> CONNECTION_ID()`,
      [database],
    )
  }

  /** The named locks that connections of a database hold or wait for. */
  async userLocksOf(database: string): Promise<UserLockRow[]> {
    const rows = await this.query<Omit<UserLockRow, 'isMark'>>(
      `SELECT l.OBJECT_NAME AS \`key\`, CAST(t.PROCESSLIST_ID AS CHAR) AS connectionId, l.LOCK_STATUS AS status
       FROM performance_schema.metadata_locks l JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
       WHERE l.OBJECT_TYPE = 'USER LEVEL LOCK' AND t.PROCESSLIST_DB = ?`,
      [database],
    )
    return rows.map((row) => ({ ...row, isMark: row.key.startsWith('_polling') }))
  }

  /**
   * The number of statements that the server has executed for all connections, and of connections that it has accepted.
   */
  async counters(): Promise<{ statements: number; connections: number }> {
    const rows = await this.query<{ Variable_name: string; Value: string }>(
      `SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Connections')`,
    )
    const value = (name: string) => Number(rows.find((row) => row.Variable_name === name)?.Value)
    return { statements: value('Questions'), connections: value('Connections') }
  }

  async dropDatabase(name: string): Promise<void> {
    await this.query(`DROP DATABASE IF EXISTS ${name}`)
  }

  async end(): Promise<void> {
    await this.#connection.end().catch(() => this.#connection.destroy())
  }
}
