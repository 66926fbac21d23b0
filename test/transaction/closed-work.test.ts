import { expect } from 'chai'
import { NamedLockLostError } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { until } from '../support/until.js'
import { Stock } from './support/stock.js'

/** A dedicated lock that close() takes away takes its manager with it: the connection belongs to another caller from then on. */
describe('work under a dedicated lock that close() has taken away', () => {
  forEachDialect((ctx) => {
    const stock = new Stock(ctx)
    beforeEach(() => stock.fill(2))

    it('writes nothing into the transaction of the next one on its connection', async () => {
      const dataSource = await ctx.dataSource()
      const one = await ctx.service({ closeTimeout: 100 }, dataSource)
      const two = await ctx.service({}, dataSource)
      let late: unknown
      let isWorking = false
      let go = (): void => {}
      const gate = new Promise<void>((resolve) => (go = resolve))
      const working = one
        .withLock('a', { session: 'dedicated' }, async (lock) => {
          const manager = lock.manager
          await manager.query('SELECT 1')
          isWorking = true
          await until('the lock to be lost', () => !lock.isHeld)
          await gate
          late = await stock.add(manager, 1).catch((error: unknown) => error)
        })
        .catch((error: unknown) => error)
      await until('the work is under way', () => isWorking)
      await one.close()
      await two
        .transaction('b', async (manager) => {
          await stock.add(manager, 0)
          go()
          await until('the statement is over', () => working.then(() => true))
          throw new Error('rolled back')
        })
        .catch(() => {})
      expect(late).to.be.instanceOf(Error)
      expect(await working).to.be.instanceOf(NamedLockLostError)
      expect(await stock.count(1)).to.equal(0)
    })

    it("writes nothing into the transaction of the pool's next user", async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const locks = await ctx.service({ closeTimeout: 100 }, dataSource)
      const lock = await locks.acquire('a', { session: 'dedicated' })
      const { manager } = lock
      await manager.query('SELECT 1')
      await locks.close()
      const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()]
      for (const runner of runners) {
        await runner.startTransaction()
        await runner.query('SELECT 1')
      }
      const late = await stock.add(manager, 1).catch((error: unknown) => error)
      for (const runner of runners) {
        await runner.commitTransaction()
        await runner.release()
      }
      expect(late).to.be.instanceOf(Error)
      expect(await stock.count(1)).to.equal(0)
    })

    it('leaves the next one alone when the work ends later', async () => {
      const dataSource = await ctx.dataSource()
      const one = await ctx.service({ closeTimeout: 100 }, dataSource)
      const two = await ctx.service({}, dataSource)
      let isWorking = false
      let go = (): void => {}
      const gate = new Promise<void>((resolve) => (go = resolve))
      const working = one.withLock('a', { session: 'dedicated' }, async ({ manager }) => {
        await manager.query('SELECT 1')
        isWorking = true
        await gate
      })
      working.catch(() => undefined)
      await until('the work is under way', () => isWorking)
      await one.close()
      await two.transaction('b', async (manager) => {
        await stock.add(manager)
        go()
        await working.catch(() => undefined)
        await stock.add(manager)
      })
      expect(await stock.count()).to.equal(2)
    })

    it('leaves no transaction that the work has begun by a statement', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const locks = await ctx.service({ closeTimeout: 100 }, dataSource)
      const lock = await locks.acquire('a', { session: 'dedicated' })
      await lock.manager.query(ctx.sql('START TRANSACTION', 'BEGIN'))
      await stock.add(lock.manager, 1)
      await locks.close()
      const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()]
      for (const runner of runners) await stock.add(runner.manager)
      for (const runner of runners) await runner.release()
      expect([await stock.count(), await stock.count(1)]).to.deep.equal([2, 0])
    })
  })
})
