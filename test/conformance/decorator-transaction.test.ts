import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import { NamedLock, NamedLockService, NamedLockTimeoutError, WithNamedLock } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'

class Stock {
  constructor(protected readonly locks: NamedLockService) {}

  @WithNamedLock('stock', '5s', { transaction: true })
  async take(during: (manager: EntityManager) => Promise<unknown>): Promise<unknown> {
    const manager = NamedLock.assertHeld('stock').manager!
    await manager.query('INSERT INTO taken (id) VALUES (1)')
    return during(manager)
  }

  @WithNamedLock('stock', 0, { transaction: true, onBusy: 'skip' })
  async tryToTake(): Promise<string | undefined> {
    return 'taken'
  }

  @WithNamedLock('stock', '5s', { transaction: true, holdAtLeast: '200ms' })
  async takeSlowly(): Promise<void> {}
}

describe('@WithNamedLock with transaction', () => {
  forEachDialectAndTypeorm((ctx) => {
    const key = () => ctx.keyOf('stock')
    const taken = async () => Number(await ctx.outsider.value(`SELECT COUNT(*) FROM ${ctx.database}.taken`))

    beforeEach(async () => {
      await ctx.outsider.query(`DROP TABLE IF EXISTS ${ctx.database}.taken`)
      await ctx.outsider.query(`CREATE TABLE ${ctx.database}.taken (id INT PRIMARY KEY) ENGINE=InnoDB`)
    })

    it('commits what the method did, on the connection that holds the lock', async () => {
      const stock = new Stock(await ctx.service())
      const result = await stock.take(async (manager) => {
        expect(await taken()).to.equal(0)
        const [{ id }] = await manager.query('SELECT CONNECTION_ID() AS id')
        expect(await ctx.outsider.holderOf(key())).to.equal(String(id))
        return 'done'
      })
      expect(result).to.equal('done')
      expect(await taken()).to.equal(1)
      expect(await ctx.outsider.holderOf(key())).to.equal(null)
    })

    it('rolls back when the method fails, with its own error', async () => {
      const stock = new Stock(await ctx.service())
      for (const error of [new TypeError('mine'), new NamedLockTimeoutError('of another lock')]) {
        expect(await rejection(stock.take(() => Promise.reject(error)))).to.equal(error)
      }
      expect(await taken()).to.equal(0)
      expect(await ctx.outsider.holderOf(key())).to.equal(null)
    })

    it('applies onBusy if another holder has the lock', async () => {
      const stock = new Stock(await ctx.service())
      await ctx.outsider.getLock(key())
      expect(await stock.tryToTake()).to.equal(undefined)
      await ctx.outsider.releaseLock(key())
      expect(await stock.tryToTake()).to.equal('taken')
    })

    it('holds the lock for holdAtLeast', async () => {
      const stock = new Stock(await ctx.service())
      const begin = performance.now()
      await stock.takeSlowly()
      expect(performance.now() - begin).to.be.at.least(200)
      expect(await ctx.outsider.holderOf(key())).to.equal(null)
    })
  })
})
