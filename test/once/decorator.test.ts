import { expect } from 'chai'
import { NamedLock, NamedLockService, WithNamedLock } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'

describe('@WithNamedLock with once', () => {
  forEachDialect((ctx) => {
    class Webhooks {
      runs = 0
      constructor(readonly locks: NamedLockService) {}

      @WithNamedLock((event: { id: string }) => `stripe:${event.id}`, '5s', { once: true })
      async settle(_event: { id: string }, fails = false): Promise<string | undefined> {
        const manager = NamedLock.current()!.manager!
        await manager.query(`INSERT INTO settled (name) VALUES ('x')`)
        if (fails) throw new Error('no')
        return `run ${++this.runs}`
      }

      @WithNamedLock('nightly', '5s', { once: { every: '20h' }, onBusy: 'skip' })
      async report(): Promise<string | undefined> {
        return 'made'
      }
    }

    it('lets what is sent through the DataSource take part, with ambientTransactions', async () => {
      await ctx.outsider.query(`DROP TABLE IF EXISTS ${ctx.database}.settled`)
      await ctx.outsider.query(`CREATE TABLE ${ctx.database}.settled (name VARCHAR(40))`)
      const locks = await ctx.service({ ambientTransactions: true })
      const insert = () => locks.dataSource.query(`INSERT INTO settled (name) VALUES ('x')`)
      const failing = async () => {
        await insert()
        throw new Error('no')
      }
      await rejection(locks.runOnce('ambient', failing))
      expect((await locks.runOnce('ambient', insert)).ran).to.equal(true)
      expect((await locks.runOnce('ambient', insert)).ran).to.equal(false)
      expect(await ctx.outsider.query(`SELECT name FROM ${ctx.database}.settled`)).to.have.length(1)
    })

    it('runs a method once for each name, in a transaction', async () => {
      await ctx.outsider.query(`DROP TABLE IF EXISTS ${ctx.database}.settled`)
      await ctx.outsider.query(`CREATE TABLE ${ctx.database}.settled (name VARCHAR(40))`)
      const webhooks = new Webhooks(await ctx.service())
      const other = new Webhooks(await ctx.service())
      await rejection(webhooks.settle({ id: '1' }, true))
      expect(await webhooks.settle({ id: '1' })).to.equal('run 1')
      expect(await webhooks.settle({ id: '1' })).to.equal(undefined)
      expect(await other.settle({ id: '1' }, true)).to.equal(undefined)
      expect(await other.settle({ id: '2' })).to.equal('run 1')
      expect(await ctx.outsider.query(`SELECT name FROM ${ctx.database}.settled`)).to.have.length(2)
      expect(await webhooks.report()).to.equal('made')
      expect(await other.report()).to.equal(undefined)
    })
  })
})
