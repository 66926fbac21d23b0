import { NamedLockService, type NamedLock, type NamedLockServiceOptions } from '../../../src/index.js'
import type { Conformance } from '../../support/conformance.js'
import type { SqlClient } from '../../support/sql-client.js'
import type { DataSource } from '../../support/typeorms.js'
import { hookStatements } from '../statement-hook.js'

/** One service with its DataSource: who takes part in the model. */
export interface Side {
  readonly name: string
  readonly dataSource: DataSource
  readonly database: string
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
  /** Its wait can be overtaken by nobody: one name on the shared session. */
  readonly isInOrder: boolean
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

/** How long something may look wrong: what is on its way between client and server, and back-off after a disturbance. */
export const GRACE = 2_000

/** Everything the model knows: services, strangers, calls, and who holds what. */
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
  readonly #history: string[] = []
  readonly #begin = performance.now()

  constructor(
    readonly ctx: Conformance,
    readonly looker: SqlClient,
  ) {}

  async addSide(
    name: string,
    options: NamedLockServiceOptions,
    dataSource: DataSource,
    database: string,
  ): Promise<void> {
    const all = { namespace: this.ctx.database, closeTimeout: 200, ...options }
    const locks = await this.ctx.service(all, dataSource)
    this.sides.push({ name, dataSource, database, options: all, locks, closing: false, disturbedAt: -Infinity })
  }

  async addStranger(): Promise<void> {
    this.strangers.push({ client: await this.ctx.connectOutsider(), name: undefined, busy: false })
  }

  keyOf(name: string): string {
    return `${this.ctx.database}.${name}`
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

  disturb(database: string): void {
    for (const side of this.sides) if (side.database === database) side.disturbedAt = performance.now()
  }
}

/** The names of locks in words. */
function readable(sql: string): string {
  return sql.replace(/x'([0-9a-f]+)'/g, (_, hex: string) => `'${Buffer.from(hex, 'hex').toString()}'`).slice(0, 400)
}
