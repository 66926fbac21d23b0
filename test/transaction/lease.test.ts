import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EntityManager } from 'typeorm'
import { NamedLockLostError, type NamedLock, type NamedLockService } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { sideBySide } from '../support/side-by-side.js'
import { settlesWithin, until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { record } from './support/general-log.js'
import { Stock } from './support/stock.js'

const LEASE = 1_000

describe('the lease of a transaction', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)
    const keyOf = (name: string) => `${ctx.database}.${name}`

    beforeEach(() => stock.fill(2))

    /** Ways to have a lock on a connection that one's own statements run on. */
    const ways: Record<
      string,
      (
        locks: NamedLockService,
        name: string,
        work: (m: EntityManager, lock?: NamedLock) => Promise<unknown>,
      ) => Promise<unknown>
    > = {
      transaction: (locks, name, work) => locks.transaction(name, work),
      'a dedicated lock': (locks, name, work) =>
        locks.withLock(name, { session: 'dedicated' }, (lock) => work(lock.manager, lock)),
      lockTransaction: (locks, name, work) =>
        locks.dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, name)
          return work(manager)
        }),
    }

    it('does not end during a statement that takes longer, nor while the work is silent', async () => {
      const locks = await ctx.service({ lease: LEASE })
      const cases: Record<string, () => Promise<void>> = {}
      for (const [i, [way, run]] of Object.entries(ways).entries()) {
        cases[`${way}, busy`] = async () => {
          const result = await run(locks, `busy ${i}`, async (manager, lock) => {
            await manager.query('SELECT SLEEP(3.5)')
            if (lock) expect([lock.isHeld, await lock.verify()]).to.deep.equal([true, true])
            expect(await ctx.outsider.getLock(keyOf(`busy ${i}`))).to.equal(false)
            return 'done'
          })
          expect(result).to.equal('done')
        }
        cases[`${way}, silent`] = async () => {
          const result = await run(locks, `silent ${i}`, async (manager, lock) => {
            await sleep(3_500)
            if (lock) expect([lock.isHeld, await lock.verify()]).to.deep.equal([true, true])
            const [row] = await manager.query('SELECT CAST(CONNECTION_ID() AS CHAR) AS id')
            expect(await ctx.outsider.holderOf(keyOf(`silent ${i}`))).to.equal(String(row.id))
            return 'done'
          })
          expect(result).to.equal('done')
        }
      }
      await sideBySide(cases)
    }).timeout(30_000)

    it('during a statement ends by the word of the server alone', async () => {
      const proxy = await ctx.proxy()
      const dataSource = await ctx.dataSource({ port: proxy.port })
      const locks = await ctx.service({ lease: LEASE }, dataSource)
      let held: NamedLock | undefined
      const run = locks.transaction('a', async (manager, lock) => {
        held = lock
        await stock.add(manager)
        await manager.query('SELECT SLEEP(20)')
      })
      const lost = rejection(run, NamedLockLostError)
      await until('the statement', async () =>
        (await ctx.outsider.connectionsOf(ctx.database)).some(({ statement }) => statement?.includes('SLEEP')),
      )
      // From here on nothing of this connection arrives, and nobody is told.
      proxy.forget()
      await sleep(LEASE * 2)
      expect(held!.isHeld, 'while the server says so').to.equal(true)
      await ctx.outsider.kill(String(await ctx.outsider.holderOf(keyOf('a'))))
      const killedAt = performance.now()
      await until('the loss', () => !held!.isHeld)
      expect(performance.now() - killedAt).to.be.lessThan(LEASE)
      expect(held!.signal.aborted).to.equal(true)
      expect(await settlesWithin(2_000, 'the transaction', lost)).to.have.property('outcome', 'rolledBack')
      expect(await stock.count()).to.equal(0)
    }).timeout(30_000)

    it('runs while a stream is not read: the server idles, and the lock is lost in good time', async () => {
      const locks = await ctx.service({ lease: LEASE })
      const many = `SELECT REPEAT('x', 100) AS text FROM information_schema.COLLATIONS a, information_schema.COLLATIONS b LIMIT 5000`
      let held: NamedLock | undefined
      const startedAt = performance.now()
      const run = locks.transaction('a', async (manager, lock) => {
        held = lock
        await stock.add(manager)
        const stream = await manager.queryRunner!.stream(many)
        stream.on('error', () => undefined)
        await new Promise((resolve) => stream.once('data', resolve))
        stream.pause()
        await until('the loss', () => lock.signal.aborted, { within: 10_000 })
        stream.destroy()
      })
      expect(await rejection(run, NamedLockLostError)).to.have.property('outcome', 'rolledBack')
      expect(held!.isHeld).to.equal(false)
      expect(performance.now() - startedAt).to.be.lessThan(LEASE + 3_000)
      expect(await stock.count()).to.equal(0)
    }).timeout(30_000)

    it('does not end while a stream is read, however long the server takes for it', async () => {
      const locks = await ctx.service({ lease: LEASE })
      const slow = 'SELECT SLEEP(0.35) AS slept FROM information_schema.COLLATIONS LIMIT 10'
      const rows = await locks.transaction('a', async (manager, lock) => {
        const stream = await manager.queryRunner!.stream(slow)
        let count = 0
        for await (const row of stream) if (row) count++
        expect(lock.isHeld).to.equal(true)
        await stock.add(manager)
        return count
      })
      expect(rows).to.equal(10)
      expect(await stock.count()).to.equal(1)
    }).timeout(30_000)

    it('needs no keepalive while the work sends statements, and has one after a third of it in silence', async () => {
      const locks = await ctx.service({ lease: 1_500 })
      const heartbeats = async (work: (manager: EntityManager) => Promise<unknown>) => {
        let id: string | undefined
        const statements = await record(ctx, () =>
          locks.transaction('a', async (manager) => {
            const [row] = await manager.query('SELECT CAST(CONNECTION_ID() AS CHAR) AS id')
            id = String(row.id)
            await work(manager)
          }),
        )
        return statements.filter(({ sql, connection }) => connection === id && sql === 'SELECT 1').length
      }
      const busy = await heartbeats(async (manager) => {
        for (let i = 0; i < 15; i++) {
          await stock.add(manager)
          await sleep(100)
        }
      })
      expect(busy).to.equal(0)
      const quiet = await heartbeats(() => sleep(1_300))
      expect(quiet).to.be.within(1, 3)
    }).timeout(30_000)

    it('keeps a stopped process from harm: its transaction is gone by then, and it knows when it goes on', async () => {
      const service = { lease: LEASE }
      const child = ctx.startChild('transact.ts', {
        name: 'a',
        service,
        statement: `UPDATE ${stock.table} SET n = n + 1 WHERE id = 0`,
      })
      expect((await child.next('inside')).isHeld).to.equal(true)
      const connections = async () => (await ctx.outsider.connectionsOf(ctx.database)).map(({ id }) => id)
      const holder = String(await ctx.outsider.holderOf(keyOf('a')))
      expect(await connections()).to.include(holder)
      child.stop()
      const stoppedAt = performance.now()
      const locks = await ctx.service(service)
      await locks.transaction('a', { timeout: '10s' }, async (manager) => {
        expect(performance.now() - stoppedAt).to.be.within(LEASE / 2, LEASE + 2_000)
        expect(await stock.read(manager)).to.equal(0)
        await stock.write(manager, 10)
      })
      expect(await connections()).to.not.include(holder)
      child.send({ type: 'end' })
      child.cont()
      expect((await child.next('ending')).isHeld).to.equal(false)
      expect(await child.next('failed')).to.include({ code: 'LOST', outcome: 'rolledBack' })
      expect(await stock.count()).to.equal(10)
      expect((await child.exited).code).to.equal(0)
    }).timeout(30_000)

    it('is not kept by the connection when it goes back to the application', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const waitTimeouts = async () => {
        const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()]
        const rows = await Promise.all(runners.map((one) => one.query('SELECT @@SESSION.wait_timeout AS wait')))
        await Promise.all(runners.map((runner) => runner.release()))
        return rows.map(([row]) => Number(row.wait))
      }
      const before = await waitTimeouts()
      const locks = await ctx.service({ lease: LEASE }, dataSource)
      await locks.transaction('a', () => undefined)
      await locks.close()
      expect(await waitTimeouts()).to.deep.equal(before)
    })
  })
})
