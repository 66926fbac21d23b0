import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import type { ServerAddress } from '../../dev/servers/index.js'
import type { Observer } from './observer.js'

/** The interval between two polls of `pg_stat_activity`, in milliseconds. */
const LOOK = 10

export class PostgresObserver implements Observer {
  readonly #client: Client

  private constructor(client: Client) {
    this.#client = client
  }

  static async open({ host, port, username: user, password, database }: ServerAddress): Promise<PostgresObserver> {
    const client = new Client({ host, port, user, password, database })
    client.on('error', () => undefined) // the failing statement reports it
    await client.connect()
    return new PostgresObserver(client)
  }

  async rows(sql: string, parameters: unknown[] = []): Promise<Record<string, unknown>[]> {
    const { rows } = await this.#client.query<Record<string, unknown>>(sql, parameters)
    return rows
  }

  async execute(sql: string): Promise<void> {
    await this.#client.query(sql)
  }

  async connections(database: string): Promise<number> {
    const sql =
      "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    const [row] = await this.rows(sql, [database])
    return Number(row?.['n'])
  }

  async blocked(): Promise<number> {
    const [row] = await this.rows(
      "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory'",
    )
    return Number(row?.['n'])
  }

  /**
   * PostgreSQL does not count statements, and its count of transactions is up to 10 s late. This method therefore polls
   * the start of each connection's last statement; several statements of a connection within 10 ms count as one.
   */
  async statementsPerSecond(database: string, ms: number): Promise<number> {
    const seen = new Set(await this.#lastStatements(database))
    const before = seen.size
    const start = performance.now()
    while (performance.now() - start < ms) {
      await sleep(LOOK)
      for (const statement of await this.#lastStatements(database)) seen.add(statement)
    }
    return ((seen.size - before) * 1000) / (performance.now() - start)
  }

  async pidFile(): Promise<string> {
    const [row] = await this.rows("SELECT current_setting('data_directory') AS folder")
    return path.join(String(row?.['folder']), 'postmaster.pid')
  }

  async close(): Promise<void> {
    await this.#client.end()
  }

  async #lastStatements(database: string): Promise<string[]> {
    const rows = await this.rows(
      `SELECT pid || ' ' || query_start::text AS statement FROM pg_stat_activity
       WHERE datname = $1 AND query_start IS NOT NULL AND pid <> pg_backend_pid()`,
      [database],
    )
    return rows.map(({ statement }) => String(statement))
  }
}
