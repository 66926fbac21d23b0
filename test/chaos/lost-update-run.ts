import { setTimeout as sleep } from 'node:timers/promises'
import type { Child } from '../support/child.js'
import type { Conformance } from '../support/conformance.js'
import type { Call, CountedRow, Outcome } from '../support/fixtures/count-under-lock.js'
import { until } from '../support/until.js'
import { killLockConnection, restartServer } from './faults.js'

/*
 * Processes with many callers each read a number and write the next one, while connections that hold locks or wait for them
 * are killed and the server is restarted. Every call leaves its name in the history within its transaction, so that
 * afterwards each can be compared with what its caller got.
 */

export interface RunSettings {
  readonly processes: number
  /** For each row. */
  readonly callers: number
  readonly rows: readonly CountedRow[]
  readonly seconds: number
  readonly restarts: number
}

/** What became of one row. */
export interface RowSummary extends CountedRow {
  /** How often callers got that answer. */
  readonly told: Readonly<Record<Outcome, number>>
  readonly value: number
  /** Transactions that are in the history. */
  readonly committed: number
  /** Calls that reported that they do not know, and are in the history. */
  readonly unknownCommitted: readonly string[]
  /** Calls that reported success, and are not in the history. */
  readonly missing: readonly string[]
  /** Calls that reported failure, and are in the history. */
  readonly unwanted: readonly string[]
}

export interface Summary {
  readonly rows: readonly RowSummary[]
  readonly kills: number
  readonly restarts: number
  readonly errors: Readonly<Record<string, number>>
}

export class LostUpdateRun {
  readonly #ctx: Conformance
  readonly #settings: RunSettings
  #children: Child[] = []
  #kills = 0

  constructor(ctx: Conformance, settings: RunSettings) {
    this.#ctx = ctx
    this.#settings = settings
  }

  async run(): Promise<Summary> {
    await this.#createTables()
    const { processes, callers, rows } = this.#settings
    this.#children = Array.from({ length: processes }, (_, i) =>
      this.#ctx.startChild('count-under-lock.ts', { name: '', id: `p${i}`, callers, rows, service: { lease: '5s' } }),
    )
    await Promise.all(this.#children.map((child) => child.next('ready', 180_000)))
    await this.#harm()
    await this.#expectProgress()
    for (const child of this.#children) child.send({ type: 'finish' })
    const ends = this.#children.map((child) => child.next('done', 60_000))
    const done = await Promise.all(ends).catch(async (error: Error) => {
      const still = this.#children.map((child) => child.messages.findLast(({ type }) => type === 'still')?.stages)
      const connections = await this.#ctx.outsider.connectionsOf(this.#ctx.database)
      const failed = this.#children.map((child) => child.messages.find(({ type }) => type === 'error')?.error)
      throw new Error(`${error.message}: ${JSON.stringify({ still, connections, failed })}`)
    })
    await Promise.all(this.#children.map((child) => child.exited))
    return this.#summary(done)
  }

  async #createTables(): Promise<void> {
    const { outsider, database } = this.#ctx
    for (const table of ['counters', 'history']) await outsider.query(`DROP TABLE IF EXISTS ${database}.${table}`)
    await outsider.query(
      `CREATE TABLE ${database}.counters (name VARCHAR(40) PRIMARY KEY, value INT NOT NULL) ENGINE=InnoDB`,
    )
    await outsider.query(
      `CREATE TABLE ${database}.history (signer VARCHAR(40) PRIMARY KEY, name VARCHAR(40)) ENGINE=InnoDB`,
    )
    for (const { name } of this.#settings.rows) {
      await outsider.query(`INSERT INTO ${database}.counters VALUES (?, 0)`, [name])
    }
  }

  /** KILLs all the time, and the restarts spread over it. */
  async #harm(): Promise<void> {
    const { seconds, restarts } = this.#settings
    for (let part = 0; part <= restarts; part++) {
      if (part > 0) await restartServer(this.#ctx)
      const end = performance.now() + (seconds * 1_000) / (restarts + 1)
      while (performance.now() < end) {
        await sleep(20 + Math.random() * 200)
        await killLockConnection(this.#ctx)
        this.#kills++
      }
    }
  }

  /** By themselves, all processes are at work again. */
  async #expectProgress(): Promise<void> {
    const calls = (child: Child) => Number(child.messages.findLast(({ type }) => type === 'progress')?.calls ?? 0)
    const before = this.#children.map(calls)
    const all = () => this.#children.every((child, i) => child.hasExited || calls(child) > before[i]! + 5)
    await until('every process at work again', all, { within: 30_000 })
  }

  async #summary(done: readonly object[]): Promise<Summary> {
    const results = done as readonly { calls: Call[]; errors: Record<string, number> }[]
    const calls = results.flatMap((result) => result.calls)
    const errors: Record<string, number> = {}
    for (const result of results) {
      for (const [text, times] of Object.entries(result.errors)) errors[text] = (errors[text] ?? 0) + times
    }
    const { rows, restarts } = this.#settings
    const summaries = await Promise.all(
      rows.map((row) =>
        this.#summaryOf(
          row,
          calls.filter((call) => call.row === row.name),
        ),
      ),
    )
    return { rows: summaries, kills: this.#kills, restarts, errors }
  }

  async #summaryOf(row: CountedRow, calls: readonly Call[]): Promise<RowSummary> {
    const { outsider, database } = this.#ctx
    const history = await outsider.query<{ signer: string }>(`SELECT signer FROM ${database}.history WHERE name = ?`, [
      row.name,
    ])
    const committed = new Set(history.map(({ signer }) => signer))
    const of = (outcome: Outcome) => calls.filter((call) => call.outcome === outcome).map(({ signer }) => signer)
    const isCommitted = (signer: string) => committed.has(signer)
    return {
      ...row,
      told: {
        counted: of('counted').length,
        unknown: of('unknown').length,
        lost: of('lost').length,
        failed: of('failed').length,
      },
      value: Number(await outsider.value(`SELECT value FROM ${database}.counters WHERE name = ?`, [row.name])),
      committed: committed.size,
      unknownCommitted: of('unknown').filter(isCommitted),
      missing: of('counted').filter((signer) => !isCommitted(signer)),
      unwanted: [...of('lost'), ...of('failed')].filter(isCommitted),
    }
  }
}

export function print(kind: string, settings: RunSettings, { rows, kills, restarts, errors }: Summary): string {
  const { processes, callers, seconds } = settings
  const list = (all: readonly string[]) => (all.length > 0 ? `${all.length} (${all.join(', ')})` : 'none')
  return [
    `      ${kind}, ${seconds} s, ${processes} processes × ${callers} callers, ${kills} KILLs, ${restarts} restarts`,
    ...rows.flatMap(({ way, isolation, told, value, committed, unknownCommitted, missing, unwanted }) => [
      `      ${way}, ${isolation}: the row says ${value}; ${told.counted} calls reported success, ${committed} are committed`,
      `        lost updates: ${committed - value}; success reported and not committed: ${list(missing)}`,
      `        COMMIT unknown: ${told.unknown}, of them committed: ${list(unknownCommitted)}`,
      `        told LOST: ${told.lost}, other errors: ${told.failed}, of these committed all the same: ${unwanted.length}`,
    ]),
    `      errors: ${JSON.stringify(errors)}`,
  ].join('\n')
}
