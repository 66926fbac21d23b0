import { NamedLockService, type LockMode, type NamedLock, type NamedLockServiceOptions } from '../../../src/index.js'
import type { Conformance } from '../../support/conformance.js'
import type { ProcessRow, SqlClient } from '../../support/sql-client.js'
import type { DataSource } from '../../support/typeorms.js'
import { PostgresDialect } from '../../../src/dialect/postgres/postgres.js'
import { joinParts } from './parted-rows.js'
import { hookStatements } from '../statement-hook.js'

/** A participant of the model: one service with its DataSource. */
export interface Side {
  readonly name: string
  readonly dataSource: DataSource
  /** What the server tells the connections of a DataSource by: their database, or on PostgreSQL, where locks are those of one, their name. */
  readonly home: string
  readonly options: NamedLockServiceOptions
  locks: NamedLockService
  closing: boolean
  /** When a connection of its DataSource was last killed, or its statement. */
  disturbedAt: number
}

/** One call to the library, from its beginning to its end. */
export interface Call {
  readonly id: number
  readonly what: string
  readonly side: Side
  /** The service at that time. */
  readonly locks: NamedLockService
  readonly names: readonly string[]
  readonly startedAt: number
  readonly timeout: number
  /** No other call can overtake it: one name on the shared session. */
  readonly isInOrder: boolean
  /** For readers. */
  readonly isShared: boolean
  readonly controller: AbortController | undefined
  /** Inside the work of another call. */
  readonly isNested: boolean
  state: 'pending' | 'held' | 'over'
  lock: NamedLock<any> | undefined
  grantedAt: number
  /** Ends the work of a scoped call. */
  finish: (() => void) | undefined
  settled: Promise<void>
}

export interface Stranger {
  readonly client: SqlClient
  /** What it holds by its own SQL. */
  name: string | undefined
  busy: boolean
}

/** A lock on the server. */
export interface LockRow {
  readonly key: string
  readonly id: string
  readonly home: string | null
  readonly status: string
  readonly isMark: boolean
  /** Held for readers. */
  readonly isShared: boolean
}

const MYSQL_LOCKS = `SELECT l.OBJECT_NAME AS \`key\`, CAST(t.PROCESSLIST_ID AS CHAR) AS id, t.PROCESSLIST_DB AS home, l.LOCK_STATUS AS status
FROM performance_schema.metadata_locks l JOIN performance_schema.threads t ON t.THREAD_ID = l.OWNER_THREAD_ID
WHERE l.OBJECT_TYPE = 'USER LEVEL LOCK' AND (l.OBJECT_NAME LIKE ? OR l.OBJECT_NAME LIKE ?)`

const POSTGRES_LOCKS = `SELECT ((l.classid::bigint << 32) | l.objid::bigint)::text AS key, l.pid::text AS id, a.application_name AS home,
  CASE WHEN l.granted THEN 'GRANTED' ELSE 'PENDING' END AS status, l.objsubid = 2 AS "isMark", l.mode = 'ShareLock' AS "isShared"
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND a.datname = current_database() AND (l.mode = 'ExclusiveLock' OR l.objsubid = 1)`

const MODED = ['d', 'e']

/** How long something may look wrong: what is on its way between client and server, and back-off after a disturbance. */
export const GRACE = 2_000

/** Everything the model knows: services, strangers, calls, and which of them holds what. */
export class World {
  readonly names = ['a', 'b', 'c', 'd', 'e']
  readonly sides: Side[] = []
  readonly strangers: Stranger[] = []
  readonly calls = new Set<Call>()
  readonly holders = new Map<string, Set<Call>>()
  /** When anything last happened to a name. */
  readonly touchedAt = new Map<string, number>()
  readonly violations: string[] = []
  readonly counts = new Map<string, number>()
  /** The homes of connections, by id, as they were last seen. */
  readonly #homes = new Map<string, string>()
  readonly #history: string[] = []
  readonly #begin = performance.now()

  constructor(
    readonly ctx: Conformance,
    readonly looker: SqlClient,
  ) {}

  async addSide(name: string, options: NamedLockServiceOptions, dataSource: DataSource, home: string): Promise<void> {
    const all = { namespace: this.ctx.database, closeTimeout: 200, ...options }
    const locks = await this.ctx.service(all, dataSource)
    this.sides.push({ name, dataSource, home, options: all, locks, closing: false, disturbedAt: -Infinity })
  }

  async addStranger(): Promise<void> {
    this.strangers.push({ client: await this.ctx.connectOutsider(), name: undefined, busy: false })
  }

  /** MySQL and MariaDB have no reader locks of their own: a name is used with a mode there, or without one. */
  isInModes(name: string): boolean {
    return this.ctx.isPostgres || MODED.includes(name)
  }

  /** Of a writer on PostgreSQL: none, as of ordinary callers. */
  modeOf(names: readonly string[], isShared: boolean): LockMode | undefined {
    if (isShared) return 'read'
    return !this.ctx.isPostgres && names.every((name) => this.isInModes(name)) ? 'write' : undefined
  }

  keyOf(name: string): string {
    return this.ctx.keyOf(name)
  }

  /** The connections of a home. */
  async connectionsOf(home: string): Promise<ProcessRow[]> {
    if (!this.ctx.isPostgres) return this.looker.connectionsOf(home)
    return this.looker.query<ProcessRow>(
      'SELECT pid::text AS id, query AS statement FROM pg_stat_activity WHERE datname = current_database() AND application_name = ?',
      [home],
    )
  }

  /** The locks of the model, and the marks that belong to them. */
  async locks(): Promise<LockRow[]> {
    const { ctx, looker } = this
    if (!ctx.isPostgres) {
      const rows = await looker.query<Omit<LockRow, 'isMark' | 'isShared'>>(MYSQL_LOCKS, [
        `${ctx.database}.%`,
        `\\_polling.${ctx.database}.%`,
      ])
      return joinParts(rows).map((row) => ({
        ...row,
        home: this.#homeOf(row.id, row.home),
        isMark: row.key.startsWith('_polling'),
      }))
    }
    return looker.query<LockRow>(POSTGRES_LOCKS)
  }

  /** MySQL shows no database of a connection for a moment while the connection's statement changes: the last one that was seen counts. */
  #homeOf(id: string, seen: string | null): string | null {
    if (seen !== null) this.#homes.set(id, seen)
    return this.#homes.get(id) ?? null
  }

  /** Whether the mark is that of the name. */
  isMarkOf(name: string, { key }: LockRow): boolean {
    if (this.ctx.isPostgres) {
      const dialect = new PostgresDialect()
      return [dialect.markLiteral(this.keyOf(name)), dialect.writersMark(this.keyOf(name))].includes(`m${key}`)
    }
    return key.startsWith(`_polling.${this.keyOf(name)}~`)
  }

  /** Keeps the last statements of a DataSource, for the report of a failure. */
  trace(dataSource: DataSource): void {
    const hook = hookStatements(dataSource)
    hook.afterSend = ({ sql, connectionId }) => this.#keep(`    ${connectionId} < ${readable(sql)}`)
    hook.onAnswer = ({ connectionId }, error, rows) => {
      this.#keep(`    ${connectionId} > ${error ? error.message : JSON.stringify(rows).slice(0, 120)}`)
    }
  }

  note(event: string): void {
    this.#keep(event)
    const kind = event.split(' ', 1)[0]!
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
  }

  #keep(line: string): void {
    this.#history.push(`${(performance.now() - this.#begin).toFixed(1).padStart(9)} ${line}`)
    if (this.#history.length > 2_000) this.#history.splice(0, 1_000)
  }

  history(count = 300): string {
    return this.#history.slice(-count).join('\n')
  }

  touch(names: readonly string[]): void {
    for (const name of names) this.touchedAt.set(name, performance.now())
  }

  violation(what: string): void {
    this.note(`VIOLATION ${what}`)
    this.violations.push(what)
  }

  holdersOf(name: string): Set<Call> {
    let holders = this.holders.get(name)
    if (!holders) this.holders.set(name, (holders = new Set()))
    return holders
  }

  pending(name?: string): Call[] {
    return [...this.calls].filter((call) => call.state === 'pending' && (!name || call.names.includes(name)))
  }

  held(): Call[] {
    return [...this.calls].filter((call) => call.state === 'held')
  }

  disturb(home: string): void {
    for (const side of this.sides) if (side.home === home) side.disturbedAt = performance.now()
  }
}

/** The names of locks in words. */
function readable(sql: string): string {
  return sql.replace(/x'([0-9a-f]+)'/g, (_, hex: string) => `'${Buffer.from(hex, 'hex').toString()}'`).slice(0, 400)
}
