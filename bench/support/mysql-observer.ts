import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise'
import type { ServerAddress } from '../../dev/servers/index.js'
import type { Observer } from './observer.js'

export class MySqlObserver implements Observer {
  readonly #connection: Connection

  private constructor(connection: Connection) {
    this.#connection = connection
  }

  static async open({ host, port, username: user, password, database }: ServerAddress): Promise<MySqlObserver> {
    const connection = await createConnection({ host, port, user, password, database })
    connection.on('error', () => undefined) // the failing statement reports it
    return new MySqlObserver(connection)
  }

  async rows(sql: string, parameters: unknown[] = []): Promise<RowDataPacket[]> {
    const [rows] = await this.#connection.query<RowDataPacket[]>(sql, parameters)
    return rows
  }

  async execute(sql: string): Promise<void> {
    await this.#connection.query(sql)
  }

  async connections(database: string): Promise<number> {
    return this.#count('SELECT COUNT(*) AS n FROM information_schema.processlist WHERE db = ?', [database])
  }

  async blocked(): Promise<number> {
    return this.#count("SELECT COUNT(*) AS n FROM information_schema.processlist WHERE state = 'User lock'")
  }

  /** By the server's own count, which is one for all databases. */
  async statementsPerSecond(_database: string, ms: number): Promise<number> {
    const before = await this.#questions()
    const start = performance.now()
    await new Promise((resolve) => setTimeout(resolve, ms))
    const after = await this.#questions()
    const own = 1 // the second query counts itself
    return ((after - before - own) * 1000) / (performance.now() - start)
  }

  async pidFile(): Promise<string> {
    const [row] = await this.rows('SELECT @@pid_file AS file')
    return String(row?.['file'])
  }

  async close(): Promise<void> {
    await this.#connection.end()
  }

  async #questions(): Promise<number> {
    const [row] = await this.rows("SHOW GLOBAL STATUS LIKE 'Questions'")
    return Number(row?.['Value'])
  }

  async #count(sql: string, parameters: unknown[] = []): Promise<number> {
    const [row] = await this.rows(sql, parameters)
    return Number(row?.['n'])
  }
}
