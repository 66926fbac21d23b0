import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EntityManager } from 'typeorm'
import { NamedLockLostError, NamedLockTimeoutError, type NamedLock, type NamedLockService } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { sideBySide } from '../support/side-by-side.js'
import type { TcpProxy } from '../support/tcp-proxy.js'
import type { DataSource } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { onStatement } from './support/on-statement.js'
import { Stock } from './support/stock.js'

const LEASE = 2_000
/** What the service may take longer than the lease to notice, on a busy machine. */
const NOISE = 5_000

/** A statement is under way on the lock's own connection, and the network falls silent: no connection of the process gets an answer. */
describe('a statement under way in a silent network', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)

    beforeEach(() => stock.fill(2))

    interface Behind {
      readonly proxy: TcpProxy
      readonly dataSource: DataSource
      readonly locks: NamedLockService
    }

    async function behindProxy(options: { poolSize?: number; lease?: number } = {}): Promise<Behind> {
      const proxy = await ctx.proxy()
      const { poolSize = 10, lease = LEASE } = options
      const dataSource = await ctx.dataSource({ port: proxy.port, poolSize })
      return { proxy, dataSource, locks: await ctx.service({ lease }, dataSource) }
    }

    type Work = (manager: EntityManager, lock: NamedLock) => Promise<unknown>
    const ways: Record<string, (locks: NamedLockService, name: string, work: Work) => Promise<unknown>> = {
      transaction: (locks, name, work) => locks.transaction(name, work),
      dedicated: (locks, name, work) =>
        locks.withLock(name, { session: 'dedicated' }, (lock) => work(lock.manager, lock)),
    }

    /** Its answer is swallowed, or it never arrives; the holder knows before the next one has the lock. */
    async function isLostFirst(
      way: string,
      direction: 'to server' | 'to client' | 'both',
      seconds: number,
    ): Promise<void> {
      const { proxy, locks } = await behindProxy()
      const name = `${way} ${direction} ${seconds}`
      let held: NamedLock | undefined
      let lostAt: number | undefined
      const run = ways[way]!(locks, name, async (manager, lock) => {
        held = lock
        lock.signal.addEventListener('abort', () => (lostAt = performance.now()))
        proxy.blackHole(direction)
        await manager.query(`SELECT SLEEP(${seconds})`)
      })
      // What the work throws comes through: the driver's error, where there is no transaction to tell of.
      const lost = way === 'transaction' ? rejection(run, NamedLockLostError) : rejection(run)
      await until('the work', () => held !== undefined)
      const next = await (await ctx.service()).acquire(name, { timeout: '30s' })
      const grantedAt = performance.now()
      expect(held!.isHeld, 'the holder knew first').to.equal(false)
      expect(lostAt, 'the signal').to.be.at.most(grantedAt)
      await next.release()
      const error = await settlesWithin(NOISE, 'the call', lost)
      if (way === 'transaction') expect(error).to.have.property('outcome', 'rolledBack')
      proxy.heal()
    }

    /** Nothing answers for as long as the lease, and the server is still at it: in doubt the holder gives up. */
    async function isLostByTheLease(way: string): Promise<void> {
      const { proxy, locks } = await behindProxy()
      const from = performance.now()
      const run = ways[way]!(locks, `long ${way}`, async (manager) => {
        proxy.blackHole()
        await manager.query('SELECT SLEEP(20)')
      })
      await settlesWithin(LEASE + NOISE, 'the call', rejection(run))
      expect(performance.now() - from).to.be.at.least(LEASE - 500)
      proxy.heal()
      // The server is still at it, and has heard of nothing.
      const holder = await ctx.outsider.holderOf(ctx.keyOf(`long ${way}`))
      if (holder !== null) await ctx.outsider.kill(String(holder))
    }

    it('loses the lock before another caller can acquire it', async () => {
      const cases: Record<string, () => Promise<void>> = {}
      for (const way of Object.keys(ways)) {
        for (const direction of ['to server', 'to client', 'both'] as const)
          cases[`${way}, ${direction}`] = () => isLostFirst(way, direction, 0.5)
        cases[`${way}, a statement longer than the lease`] = () => isLostByTheLease(way)
      }
      await sideBySide(cases)
    }).timeout(60_000)

    it("ends the library's own BEGIN in the caller's time, and its COMMIT in the lease's", async () => {
      const beginning = async () => {
        const { proxy, dataSource, locks } = await behindProxy({ lease: 20_000 })
        await locks.transaction('begin', () => undefined) // the connections are there
        onStatement(dataSource, /^(START TRANSACTION|BEGIN)/, () => proxy.blackHole())
        const run = rejection(
          locks.transaction('begin', { timeout: 500 }, () => undefined),
          NamedLockTimeoutError,
        )
        await settlesWithin(500 + NOISE, 'the call', run)
        proxy.heal()
        expect(await stock.count(0)).to.equal(0)
      }
      const committing = async () => {
        const { proxy, dataSource, locks } = await behindProxy()
        onStatement(dataSource, /^COMMIT/, () => proxy.blackHole('to client'))
        const run = rejection(
          locks.transaction('commit', (manager) => stock.add(manager, 1)),
          NamedLockLostError,
        )
        expect(await settlesWithin(LEASE + NOISE, 'the call', run)).to.have.property('outcome', 'unknown')
        proxy.heal()
        expect(await stock.count(1), 'the COMMIT had arrived').to.equal(1)
      }
      const savepoint = async () => {
        const { proxy, dataSource, locks } = await behindProxy()
        onStatement(dataSource, /^SAVEPOINT/, () => proxy.blackHole())
        const run = locks.transaction('savepoint', () => locks.transaction('savepoint', () => undefined))
        expect(await settlesWithin(LEASE + NOISE, 'the call', rejection(run, NamedLockLostError))).to.have.property(
          'outcome',
          'rolledBack',
        )
        proxy.heal()
      }
      await sideBySide({ beginning, committing, savepoint })
    }).timeout(60_000)

    it('keeps the lock while the server reports the running statement on another connection', async () => {
      const keeps = async (what: string, poolSize: number, trouble: (behind: Behind) => Promise<unknown>) => {
        const behind = await behindProxy({ poolSize })
        let lock: NamedLock | undefined
        const run = behind.locks.transaction(what, async (manager, its) => {
          lock = its
          await stock.add(manager, 0)
          await manager.query(`SELECT SLEEP(${(LEASE * 2.5) / 1_000})`)
          expect([its.isHeld, await its.verify()], what).to.deep.equal([true, true])
        })
        await until('the work', () => lock !== undefined)
        const troubled = trouble(behind)
        await run
        await troubled
      }
      await sideBySide({
        'on a healthy network': () => keeps('healthy', 10, () => Promise.resolve()),
        'in a full pool': () =>
          keeps('full', 2, async ({ dataSource }) => {
            // The other connection of the pool is busy, and many wait for it.
            await Promise.all([1, 2, 3].map(() => dataSource.query(`SELECT SLEEP(${LEASE / 1_000})`)))
          }),
        'when the shared session is gone': () =>
          keeps('reconnecting', 10, async ({ locks }) => {
            const other = await locks.acquire('shared')
            await ctx.outsider.kill(String(await ctx.outsider.holderOf(ctx.keyOf('shared'))))
            await until('the loss', () => !other.isHeld)
          }),
        'on a slow network': () =>
          keeps('slow', 10, async ({ proxy }) => {
            proxy.delay(40)
            await sleep(LEASE)
            proxy.delay(0)
          }),
      })
      expect(await stock.count(0)).to.equal(4)
    }).timeout(60_000)
  })
})
