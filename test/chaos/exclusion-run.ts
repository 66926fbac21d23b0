import { setTimeout as sleep } from 'node:timers/promises'
import type { Child } from '../support/child.js'
import type { Conformance } from '../support/conformance.js'
import { clock } from '../support/fixtures/clock.js'
import type { Visit } from '../support/fixtures/contend-and-log.js'
import { sharedServer } from '../support/servers.js'
import { SqlClient } from '../support/sql-client.js'
import type { TcpProxy } from '../support/tcp-proxy.js'
import { until } from '../support/until.js'
import { killConnections, restartServer, shuffled } from './faults.js'

/*
 * Four processes with twenty callers each fight for a handful of locks, and for the permits of a name, while one fault follows another.
 * Six more callers of each process read and write under one name. The locks are on a server that is killed, frozen and cut off; the
 * book in which every holder signs (a unique key on the lock's name) is on one that no fault reaches. What decides is the log: two
 * holders overlap when one still believed in its lock after the next had entered, and not both of them are readers. Overlaps after a KILL, a reset or a crash, where the server lets go before the holder can know, are counted apart.
 */

const PROCESSES = 4
const CALLERS = 20
const LEASE = 1_000
/** An overlap belongs to a fault that let go first when that was so short before. */
const AFTERMATH = 500

export interface Overlap {
  readonly milliseconds: number
  /** For how long of it the older holder's process did nothing, and could not hear of its loss. */
  readonly stalled: number
  readonly isServersDoing: boolean
  readonly history: string
}

export interface Summary {
  readonly faults: Readonly<Record<string, number>>
  readonly visits: number
  /** Of them: those of readers, of writers, and of holders of permits. */
  readonly reads: number
  readonly writes: number
  readonly permits: number
  readonly overlaps: readonly Overlap[]
  /** Signatures found in the book that the log explains: of processes that were stopped, cut off or killed. */
  readonly staleSignatures: number
  readonly committed: number
  readonly acknowledged: number
  readonly lostWrites: number
}

interface Fault {
  readonly what: string
  readonly at: number
  /** When the last of it was done. */
  until: number
  readonly letsGoFirst: boolean
}

interface Worker {
  readonly id: string
  readonly proxy: TcpProxy
  child: Child
  killedAt: number
}

export class ExclusionRun {
  readonly #ctx: Conformance
  readonly #names = ['a', 'b', 'c', 'd', 'e']
  readonly #counters = ['t1', 't2', 't3', 't4']
  /** A semaphore: each of its permits is a lock like the others. */
  readonly #permits = { name: 'pool', count: 3 }
  readonly #room = { name: 'room', callers: 6 }
  readonly #workers: Worker[] = []
  readonly #children: { child: Child; worker: Worker; killedAt: number }[] = []
  readonly #faults: Fault[] = []
  #generation = 0
  #book: Record<string, unknown> = {}

  constructor(ctx: Conformance) {
    this.#ctx = ctx
  }

  async run(seconds: number): Promise<Summary> {
    const ctx = this.#ctx
    const bookServer = await sharedServer(ctx.kind)
    const { kind, host, port, username: user, password } = bookServer
    this.#book = { kind, host, port, user, password, database: ctx.database }
    const librarian = await SqlClient.connect(bookServer)
    await librarian.query(`CREATE DATABASE ${ctx.database}`)
    const clerk = await SqlClient.connect(bookServer, ctx.database)
    await clerk.query('CREATE TABLE inside (name VARCHAR(20) PRIMARY KEY, signer VARCHAR(40) NOT NULL)')
    await clerk.end()
    await this.#createCounters()
    try {
      for (let i = 0; i < PROCESSES; i++) {
        const worker = { id: `p${i}`, proxy: await ctx.proxy(), killedAt: 0 } as Worker
        this.#workers.push(worker)
        this.#spawn(worker)
      }
      await Promise.all(this.#workers.map(({ child }) => child.next('ready', 60_000)))
      await this.#harm(seconds * 1_000)
      await this.#expectProgress()
      for (const { child } of this.#workers) child.send({ type: 'finish' })
      await Promise.all(this.#workers.map(({ child }) => child.next('done', 60_000))).catch((error: Error) => {
        throw new Error(`${error.message}: ${JSON.stringify(this.#messages('still').slice(-4))}`)
      })
      return await this.#summary()
    } finally {
      await librarian.dropDatabase(ctx.database)
      await librarian.end()
    }
  }

  async #createCounters(): Promise<void> {
    const { outsider, database } = this.#ctx
    await outsider.query(`CREATE TABLE ${database}.counters (name VARCHAR(20) PRIMARY KEY, value INT NOT NULL)`)
    await outsider.query(`CREATE TABLE ${database}.history (name VARCHAR(20), value INT NOT NULL, signer VARCHAR(40))`)
    for (const name of this.#counters) await outsider.query(`INSERT INTO ${database}.counters VALUES (?, 0)`, [name])
  }

  #spawn(worker: Worker): void {
    worker.child = this.#ctx.startChild('contend-and-log.ts', {
      name: worker.id,
      id: `${worker.id}-${this.#generation++}`,
      callers: CALLERS,
      names: this.#names,
      counters: this.#counters,
      permits: this.#permits,
      room: this.#room,
      book: this.#book,
      service: { lease: LEASE },
      dataSource: { port: worker.proxy.port, poolSize: 10 },
    })
    this.#children.push({ child: worker.child, worker, killedAt: 0 })
  }

  /** One fault after the other, each undone before the next. */
  async #harm(milliseconds: number): Promise<void> {
    const end = clock() + milliseconds
    const kinds = shuffled(Object.keys(this.#kinds))
    for (let i = 0; clock() < end; i++) {
      const what = kinds[i % kinds.length]!
      const [letsGoFirst, harm] = this.#kinds[what]!
      const worker = this.#workers[Math.floor(Math.random() * PROCESSES)]!
      const fault: Fault = { what, at: clock(), until: Infinity, letsGoFirst }
      this.#faults.push(fault)
      await harm(worker)
      fault.until = clock()
      await sleep(150 + Math.random() * 200)
    }
  }

  /** Longer than the lease, and not always as long as the server takes to end it. */
  get #long(): number {
    return LEASE + Math.random() * 1_000
  }

  readonly #kinds: Readonly<Record<string, readonly [boolean, (worker: Worker) => Promise<void>]>> = {
    'KILL of connections': [true, () => killConnections(this.#ctx, 'kill')],
    'KILL QUERY': [false, () => killConnections(this.#ctx, 'cancel')],
    'reset of connections': [true, async ({ proxy }) => proxy.reset()],
    'connections forgotten': [false, async ({ proxy }) => proxy.forget()],
    'black hole to the server': [false, (worker) => this.#blackHole(worker, 'to server')],
    'black hole to the client': [false, (worker) => this.#blackHole(worker, 'to client')],
    'black hole both ways': [false, (worker) => this.#blackHole(worker, 'both')],
    'silence from a statement on': [false, (worker) => this.#silenceAt(worker, false)],
    'silence behind a statement': [false, (worker) => this.#silenceAt(worker, true)],
    'process stopped': [
      false,
      async ({ child }) => {
        child.stop()
        await sleep(this.#long)
        child.cont()
      },
    ],
    'event loop blocked': [
      false,
      async ({ child }) => {
        const milliseconds = this.#long
        child.send({ type: 'block', milliseconds })
        await sleep(milliseconds)
      },
    ],
    'process killed': [false, (worker) => this.#killProcess(worker)],
    'server frozen': [
      false,
      async () => {
        await this.#ctx.server.freeze()
        await sleep(this.#long)
        await this.#ctx.server.thaw()
      },
    ],
    'server killed': [true, () => restartServer(this.#ctx)],
  }

  async #blackHole({ proxy }: Worker, direction: 'to server' | 'to client' | 'both'): Promise<void> {
    proxy.blackHole(direction)
    await sleep(this.#long)
    proxy.heal()
  }

  /**
   * All connections of a process fall silent while the work of a holder has a statement under way: neither its own session nor any
   * other can tell it that its lock is lost.
   */
  async #silenceAt({ proxy }: Worker, lets: boolean): Promise<void> {
    // The work of a transaction, or of a lock with a connection of its own.
    const text = Math.random() < 0.5 ? 'UPDATE counters' : 'under a lock of its own'
    await Promise.race([proxy.blackHoleAt(text, lets), sleep(2_000)])
    await sleep(this.#long)
    proxy.heal()
  }

  async #killProcess(worker: Worker): Promise<void> {
    const run = this.#children.find(({ child }) => child === worker.child)!
    run.killedAt = clock()
    await worker.child.kill()
    this.#spawn(worker)
    await worker.child.next('ready', 60_000)
  }

  /** By themselves, every process is at work again. */
  async #expectProgress(): Promise<void> {
    const visits = ({ child }: Worker) => child.messages.filter(({ type }) => type === 'left').length
    const before = this.#workers.map(visits)
    const all = () => this.#workers.every((worker, i) => visits(worker) > before[i]! + 10)
    await until('every process at work again', all, { within: 30_000 })
  }

  async #summary(): Promise<Summary> {
    const visits = this.#visits()
    const overlaps = this.#overlaps(visits)
    const { outsider, database } = this.#ctx
    const history = await outsider.query<{ name: string; value: number; signer: string }>(
      `SELECT name, value, signer FROM ${database}.history`,
    )
    const values = await outsider.query<{ name: string; value: number }>(`SELECT name, value FROM ${database}.counters`)
    const committed = new Set(history.map(({ signer }) => signer))
    const acknowledged = this.#messages('counted').map(({ signer }) => String(signer))
    const missing = acknowledged.filter((signer) => !committed.has(signer)).length
    const counted = values.reduce((sum, { value }) => sum + Number(value), 0)
    return {
      faults: Object.fromEntries(
        Object.keys(this.#kinds).map((what) => [what, this.#faults.filter((fault) => fault.what === what).length]),
      ),
      visits: visits.length,
      reads: visits.filter(({ mode }) => mode === 'read').length,
      writes: visits.filter(({ mode }) => mode === 'write').length,
      permits: visits.filter(({ name }) => name.startsWith(`${this.#permits.name}#`)).length,
      overlaps,
      staleSignatures: visits.filter(({ found }) => found !== undefined).length,
      committed: history.length,
      acknowledged: acknowledged.length,
      lostWrites: Math.max(history.length - counted, 0) + missing,
    }
  }

  #messages(type: string) {
    return this.#children.flatMap(({ child }) => child.messages.filter((message) => message.type === type))
  }

  /** A process that was killed inside has believed in its lock until then. */
  #visits(): Visit[] {
    const all = new Map<string, Visit>()
    for (const { child, killedAt } of this.#children) {
      for (const { type, visit } of child.messages as unknown as { type: string; visit: Visit }[]) {
        if (type === 'entered') all.set(visit.signer, { ...visit, lastHeldAt: killedAt })
        if (type === 'left') all.set(visit.signer, visit)
      }
    }
    return [...all.values()].sort((a, b) => a.enteredAt - b.enteredAt)
  }

  #overlaps(visits: readonly Visit[]): Overlap[] {
    const permits = Array.from({ length: this.#permits.count }, (_, number) => `${this.#permits.name}#${number}`)
    return [...this.#names, ...permits, ...this.#counters, this.#room.name].flatMap((name) => {
      const here = visits.filter((visit) => visit.name === name)
      return here.flatMap((visit, i) => {
        const before = here.slice(0, i).filter((other) => other.lastHeldAt > visit.enteredAt && excludes(other, visit))
        return before.map((other): Overlap => {
          const around = here.slice(Math.max(0, i - 3), i + 3)
          const faults = this.#faults.filter(({ at }) => Math.abs(at - visit.enteredAt) < 6_000)
          return {
            milliseconds: other.lastHeldAt - visit.enteredAt,
            stalled: Math.min(other.stalledFor, other.lastHeldAt - visit.enteredAt),
            isServersDoing: faults.some(
              ({ letsGoFirst, at, until }) =>
                letsGoFirst && at < visit.enteredAt && until > other.enteredAt - AFTERMATH,
            ),
            history: describe(name, visit, around, faults),
          }
        })
      })
    })
  }
}

function excludes(one: Visit, other: Visit): boolean {
  return one.mode !== 'read' || other.mode !== 'read'
}

function describe(name: string, at: Visit, visits: readonly Visit[], faults: readonly Fault[]): string {
  const time = (value: number): string => (value - at.enteredAt).toFixed(1)
  const lines = [
    ...visits.map(
      (visit) =>
        [
          visit.enteredAt,
          `${visit.signer} ${visit.mode ?? ''} inside until ${time(visit.lastHeldAt)}, stalled for ${visit.stalledFor.toFixed(0)}`,
        ] as const,
    ),
    ...faults.map((fault) => [fault.at, fault.what] as const),
  ]
  const text = lines.sort(([a], [b]) => a - b).map(([when, what]) => `        ${time(when)} ms  ${what}`)
  return [`      '${name}', milliseconds from when ${at.signer} entered:`, ...text].join('\n')
}

export function print(kind: string, seconds: number, summary: Summary): string {
  const { faults, visits, reads, writes, permits, overlaps, staleSignatures, committed, acknowledged, lostWrites } =
    summary
  const ofServer = overlaps.filter(({ isServersDoing }) => isServersDoing)
  const longest = Math.max(0, ...ofServer.map(({ milliseconds }) => milliseconds)).toFixed(1)
  const awake = Math.max(0, ...ofServer.map(({ milliseconds, stalled }) => milliseconds - stalled)).toFixed(1)
  const count = Object.values(faults).reduce((sum, one) => sum + one, 0)
  return [
    `      ${kind}, ${seconds} s, ${PROCESSES} processes × ${CALLERS} callers, lease ${LEASE} ms: ${visits} visits, ${count} faults`,
    `      of the visits: ${permits} with a permit, ${reads} of readers, ${writes} of writers`,
    `      (${Object.entries(faults)
      .map(([what, times]) => `${what}: ${times}`)
      .join(', ')})`,
    `      overlaps after silent faults: ${overlaps.length - ofServer.length}; after KILL, reset or crash: ${ofServer.length}, the longest ${longest} ms (${awake} ms without the time in which the holder's process stood still)`,
    `      stale signatures in the book: ${staleSignatures}; transactions committed: ${committed}, acknowledged: ${acknowledged}, lost writes: ${lostWrites}`,
    ...overlaps.map(({ history }) => history),
  ].join('\n')
}
