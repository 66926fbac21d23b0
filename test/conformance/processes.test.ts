import { expect } from 'chai'
import { forEachDialectAndTypeorm } from '../support/conformance.js'

describe('processes', () => {
  forEachDialectAndTypeorm((ctx) => {
    it('exclude each other', async function () {
      this.timeout(60_000)
      await ctx.outsider.query(`CREATE TABLE ${ctx.database}.counter (value INT NOT NULL)`)
      await ctx.outsider.query(`INSERT INTO ${ctx.database}.counter VALUES (0)`)
      const settings = { name: 'counter', table: 'counter', times: 40, service: { timeout: '30s' } }
      const children = [1, 2, 3].map(() => ctx.startChild('count-up.ts', settings))
      await Promise.all(children.map((child) => child.next('ready')))
      for (const child of children) child.send({ type: 'go' })
      await Promise.all(children.map((child) => child.next('done', 30_000)))
      expect(Number(await ctx.outsider.value(`SELECT value FROM ${ctx.database}.counter`))).to.equal(120)
      for (const { code } of await Promise.all(children.map((child) => child.exited))) expect(code).to.equal(0)
    })

    it('that end without a release free the lock for a waiter within two seconds', async function () {
      this.timeout(60_000)
      const locks = await ctx.service()
      const ends = { exits: 'exits', killed: 'is killed' }
      const children = Object.keys(ends).map((name) => ({
        name,
        child: ctx.startChild('hold-and-vanish.ts', { name }),
      }))
      await Promise.all(
        children.map(async ({ name, child }) => {
          await child.next('held')
          expect(await locks.tryAcquire(name), name).to.equal(null)
          const waiter = locks.acquire(name, { timeout: '20s' }).then((lock) => ({ lock, at: performance.now() }))
          if (name === 'exits') child.send({ type: 'exit' })
          else void child.kill()
          const exit = await child.exited
          const { lock, at } = await waiter
          expect(at - exit.at, `milliseconds after the holder '${name}'`).to.be.at.most(2_000)
          await lock.release()
        }),
      )
    })
  })
})
