import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  NamedLockConfigurationError,
  NamedLockLostError,
  NamedLockTimeoutError,
  UnsupportedDriverError,
  type NamedLockService,
} from '../../src/index.js'
import { reasonOf, rejection } from '../support/rejection.js'
import type { DataSource } from '../support/typeorms.js'
import { until } from '../support/until.js'
import type { Stage } from './stage.js'
import type { Step } from './variation.js'

/** More than it takes until a session prepares the statements of its lone callers. */
const LONE = 18
/** Callers of one service. */
const CALLERS = 6

/** Errors of a serialisable transaction that an application has to try again; the locks cannot spare it that in lockTransaction. */
const TRY_AGAIN: ReadonlySet<unknown> = new Set([1020, 1213, '40001'])

class Rollback extends Error {}

/** What every row is run through: two DataSources, as two processes have them, and two services. */
export class Scenario {
  readonly #stage: Stage
  #a!: NamedLockService
  #b!: NamedLockService

  constructor(stage: Stage) {
    this.#stage = stage
  }

  async run(): Promise<void> {
    const stage = this.#stage
    const { refused } = stage.variation
    const sources = [await stage.dataSource(), await stage.dataSource()] as const
    if (refused) return this.#isRefused(sources[0], refused)
    for (const source of sources) await stage.look(source)
    this.#a = stage.service(sources[0])
    this.#b = stage.service(sources[1])
    for (const [name, step] of Object.entries(this.#steps) as [Step, () => Promise<void>][]) {
      if (stage.variation.without?.[name] !== undefined) continue
      await step().catch((error: unknown) => {
        const { message } = error as Error
        throw new Error(`${name}: ${message}`, { cause: error })
      })
    }
    await stage.expectNothingLeft()
    await stage.expectAsBefore()
  }

  async #isRefused(dataSource: DataSource, refused: RegExp): Promise<void> {
    const stage = this.#stage
    const { finds } = stage.variation
    if (finds) expect((await stage.service(dataSource).check()).map(({ code }) => code)).to.include.members([...finds])
    const ask = async (call: (service: NamedLockService) => Promise<unknown>): Promise<Error> =>
      rejection((async () => call(stage.service(dataSource)))())
    const error = await ask((service) => service.acquire('refused', { timeout: '2s' }))
    if (finds) expect((await ask((service) => service.list())).message).to.match(refused)
    expect(
      error instanceof NamedLockConfigurationError || error instanceof UnsupportedDriverError,
      String(error),
    ).to.equal(true)
    expect(error.message).to.match(refused)
    await stage.expectNothingLeft()
  }

  readonly #steps: Readonly<Record<Step, () => Promise<void>>> = {
    migrations: () => this.#migrations(),
    exclusion: () => this.#exclusion(),
    timeout: () => this.#timeout(),
    'hot name': () => this.#hotName(),
    transaction: () => this.#transaction(),
    lockTransaction: () => this.#lockTransaction(),
    'work that writes': () => this.#workThatWrites(),
    'several names': () => this.#severalNames(),
    inspection: () => this.#inspection(),
    fencing: () => this.#fencing(),
    abort: () => this.#abort(),
    readers: () => this.#readers(),
    loss: () => this.#loss(),
  }

  get #both(): readonly [NamedLockService, NamedLockService] {
    return [this.#a, this.#b]
  }

  get #canHold(): boolean {
    return this.#stage.variation.service?.pooling !== 'transaction'
  }

  get #canWrite(): boolean {
    return !this.#stage.variation.isReadOnly
  }

  async #migrations(): Promise<void> {
    if (!this.#canWrite) return
    const run = await Promise.all(this.#both.map((service) => service.runMigrations()))
    expect(run.map((one) => one.length).sort(), 'migrations run by each').to.deep.equal([0, 1])
  }

  /** One caller after the other, so often that every way of asking has been used; the lock is the same whichever it is. */
  async #exclusion(): Promise<void> {
    if (!this.#canHold) return
    for (const [mine, theirs] of [this.#both, [this.#b, this.#a]] as const) {
      for (let i = 0; i < LONE; i++) await (await mine.acquire('lone')).release()
      const held = await mine.acquire('lone')
      expect(await theirs.tryAcquire('lone'), 'while the other has it').to.equal(null)
      expect(await this.#holderOnServer(held.key), 'the holder on the server').to.equal(
        (await mine.holder('lone'))!.connectionId,
      )
      const waiting = theirs.acquire('lone')
      await sleep(10)
      await held.release()
      await (await waiting).release()
      expect(await this.#holderOnServer(held.key), 'the holder after the release').to.equal(undefined)
    }
  }

  async #timeout(): Promise<void> {
    if (!this.#canHold) return
    const held = await this.#a.acquire('late')
    const { connectionId } = (await this.#a.holder('late'))!
    // The message takes what is known within a tenth of a second: a busy machine may need another look.
    await until(`a message that names connection ${connectionId}`, async () => {
      const { message } = await rejection(this.#b.acquire('late', { timeout: 30 }), NamedLockTimeoutError)
      return message.includes(connectionId)
    })
    await held.release()
  }

  /** Callers of three services, of which two share a pool. */
  async #hotName(): Promise<void> {
    let inside = 0
    let visits = 0
    const visit = async (): Promise<void> => {
      expect(++inside, 'inside at a time').to.equal(1)
      await sleep(1)
      visits++
      inside--
    }
    const crowd = this.#both.flatMap((service) =>
      Array.from({ length: CALLERS }, () =>
        this.#canHold ? service.withLock('hot', visit) : service.transaction('hot', visit),
      ),
    )
    await Promise.all(crowd)
    expect(visits).to.equal(crowd.length)
    if (!this.#canHold) return
    // The work is done on the lock's own connection.
    const dedicated = this.#both.flatMap((service) =>
      Array.from({ length: 2 }, () =>
        service.withLock('dedicated', { session: 'dedicated' }, async ({ manager }) => {
          expect(++inside, 'inside at a time').to.equal(1)
          expect(Number(scalar(await manager.query('SELECT 1 AS one')))).to.equal(1)
          inside--
        }),
      ),
    )
    await Promise.all(dedicated)
  }

  async #transaction(): Promise<void> {
    let done = 0
    const one = async (service: NamedLockService, fails: boolean): Promise<void> => {
      const running = service.transaction('transaction', async (manager) => {
        await this.#count((sql) => manager.query(sql), 'transaction')
        if (fails) throw new Rollback()
      })
      if (fails) await rejection(running, Rollback)
      else await running.then(() => done++)
    }
    await Promise.all(this.#both.flatMap((service) => Array.from({ length: CALLERS }, (_, i) => one(service, i === 2))))
    await this.#expectCounted('transaction', done)
    expect(done).to.equal(2 * (CALLERS - 1))
  }

  async #lockTransaction(): Promise<void> {
    let done = 0
    const one = async (service: NamedLockService): Promise<void> => {
      for (;;) {
        const failure = await service.dataSource
          .transaction(async (manager) => {
            await service.lockTransaction(manager, 'lockTransaction')
            await this.#count((sql) => manager.query(sql), 'lock')
          })
          .catch((error: unknown) => error ?? 'nothing')
        if (failure === undefined) return void done++
        const { errno, code } = failure as { errno?: unknown; code?: unknown }
        if (!TRY_AGAIN.has(errno) && !TRY_AGAIN.has(code)) throw failure
      }
    }
    await Promise.all(this.#both.flatMap((service) => Array.from({ length: CALLERS }, () => one(service))))
    await this.#expectCounted('lock', done)
    expect(done).to.equal(2 * CALLERS)
  }

  /** On the lock's own connection: its transactions are committed, and so is a single statement unless autocommit is off. */
  async #workThatWrites(): Promise<void> {
    if (!this.#canHold || !this.#canWrite) return
    let done = 0
    const one = (service: NamedLockService): Promise<void> =>
      service.withLock('work', { session: 'dedicated' }, async ({ manager }) => {
        await manager.transaction((inside) => this.#count((sql) => inside.query(sql), 'work'))
        await this.#count((sql) => manager.query(sql), 'alone')
        done++
      })
    await Promise.all(this.#both.flatMap((service) => Array.from({ length: 3 }, () => one(service))))
    expect(done).to.equal(6)
    await this.#expectCounted('work', done)
    const isRolledBack = this.#stage.variation.finds?.includes('AUTOCOMMIT_OFF') === true
    await this.#expectCounted('alone', isRolledBack ? 0 : done)
  }

  async #severalNames(): Promise<void> {
    const inside = new Set<string>()
    const take = (service: NamedLockService, names: readonly string[]): Promise<void> => {
      const work = async (): Promise<void> => {
        for (const name of names) {
          expect(inside.has(name), `${name} is free`).to.equal(false)
          inside.add(name)
        }
        await sleep(2)
        for (const name of names) inside.delete(name)
      }
      return this.#canHold ? service.withLock(names, work) : service.transaction(names, work)
    }
    const groups = ['x,y', 'y,x', 'y,z', 'z,x,Größe'].map((group) => group.split(','))
    await Promise.all(this.#both.flatMap((service) => groups.map((names) => take(service, names))))
  }

  async #inspection(): Promise<void> {
    const { finds = [] } = this.#stage.variation
    const findings = (await this.#a.check()).filter(({ severity }) => severity !== 'info')
    expect(findings.map(({ code }) => code).sort(), JSON.stringify(findings)).to.deep.equal([...finds].sort())
    if (!this.#canHold) return
    const held = await this.#a.acquire('seen')
    const other = await this.#a.acquire('seen, too')
    for (const service of this.#both) {
      for (const name of ['seen', 'seen, too'])
        await until('the name is known', async () => (await service.isLocked(name)) || undefined)
      const list = await service.list()
      const entry = list.find(({ key }) => key === held.key)
      expect(entry?.name, JSON.stringify(list)).to.equal('seen')
      expect(list.find(({ key }) => key === other.key)?.name, JSON.stringify(list)).to.equal('seen, too')
      const holder = await service.holder('seen')
      expect(holder?.connectionId).to.equal(await this.#holderOnServer(held.key))
      expect(entry!.holder.connectionId).to.equal(holder!.connectionId)
    }
    await held.release()
    await other.release()
    for (const service of this.#both) {
      expect(await service.isLocked('seen')).to.equal(false)
      expect(await service.holder('seen')).to.equal(null)
    }
  }

  async #fencing(): Promise<void> {
    if (!this.#canHold || !this.#canWrite) return
    let last = 0n
    for (const service of [this.#a, this.#b, this.#a, this.#b]) {
      await service.withLock('fenced', async (lock) => {
        const token = await lock.fencingToken()
        expect(token > last, `${token} after ${last}`).to.equal(true)
        last = token
      })
    }
  }

  async #abort(): Promise<void> {
    if (!this.#canHold) return
    const held = await this.#a.acquire('given up')
    const reason = new Error('given up')
    for (const wait of [0, 20]) {
      const controller = new AbortController()
      const waiting = reasonOf(this.#b.acquire('given up', { signal: controller.signal }))
      await sleep(wait)
      controller.abort(reason)
      expect(await waiting).to.equal(reason)
    }
    await held.release()
    await this.#b.withLock('given up', () => undefined)
    expect(await this.#a.isLocked('given up')).to.equal(false)
  }

  async #readers(): Promise<void> {
    if (!this.#canHold || !this.#stage.isPostgres) return
    const readers = [await this.#a.acquire('read', { mode: 'read' }), await this.#b.acquire('read', { mode: 'read' })]
    expect(await this.#b.tryAcquire('read'), 'beside readers').to.equal(null)
    const writer = this.#b.acquire('read')
    for (const reader of readers) await reader.release()
    const alone = await writer
    expect(await this.#a.tryAcquire('read', { mode: 'read' }), 'beside a writer').to.equal(null)
    await alone.release()
  }

  /** The holder's connection is killed: its signal aborts, another caller has the lock, and both go on. */
  async #loss(): Promise<void> {
    if (!this.#canHold) return
    const held = await this.#a.acquire('killed')
    const waiting = this.#b.acquire('killed')
    await this.#stage.outsider.kill((await this.#a.holder('killed'))!.connectionId)
    await until('the loss is known', () => held.signal.aborted, { within: 3_000 })
    expect(held.signal.reason).to.be.instanceOf(NamedLockLostError)
    const theirs = await waiting
    await theirs.release()
    await held.release()
    for (const service of this.#both) await service.withLock('killed', () => undefined)
  }

  async #count(query: (sql: string) => Promise<unknown>, name: string): Promise<void> {
    const value = Number(scalar(await query(`SELECT value FROM counters WHERE name = '${name}'`)))
    if (!this.#canWrite) return
    await sleep(1)
    await query(`UPDATE counters SET value = ${value + 1} WHERE name = '${name}'`)
  }

  async #expectCounted(name: string, times: number): Promise<void> {
    if (!this.#canWrite) return
    const [row] = await this.#stage.onDatabase(`SELECT value FROM counters WHERE name = '${name}'`)
    expect(Number(scalar(row)), 'no update is lost, and none of a rolled back transaction is left').to.equal(times)
  }

  /** By the server's own table of locks. */
  async #holderOnServer(key: string): Promise<string | undefined> {
    const { outsider, database, isPostgres } = this.#stage
    if (!isPostgres) return (await outsider.holderOf(key)) ?? undefined
    const locks = await outsider.userLocksOf(database)
    return locks.find((lock) => lock.key === key && lock.status === 'GRANTED')?.connectionId
  }
}

/** The one value of an answer, in whatever shape the application's driver has been told to give it. */
function scalar(answer: unknown): unknown {
  let value = answer
  while (typeof value === 'object' && value !== null && !Buffer.isBuffer(value)) [value] = Object.values(value)
  return Buffer.isBuffer(value) ? value.toString() : value
}
