import { expect } from 'chai'
import { forEachServer } from '../support/conformance.js'
import { settlesWithin, until } from '../support/until.js'

const CALLERS = 8
const ROUNDS = 12

describe('pools of two', () => {
  forEachServer((ctx) => {
    for (const service of [{}, { connections: 'own' as const }]) {
      it(`are enough for two processes that work under each other's names: ${JSON.stringify(service)}`, async function () {
        this.timeout(90_000)
        const table = `${ctx.database}.counters`
        await ctx.outsider.query(
          `CREATE TABLE IF NOT EXISTS ${table} (name VARCHAR(9) PRIMARY KEY, value INT) ENGINE=InnoDB`,
        )
        await ctx.outsider.query(`DELETE FROM ${table}`)
        await ctx.outsider.query(`INSERT INTO ${table} VALUES ('one', 0), ('two', 0)`)
        const orders = [
          ['one', 'two'],
          ['two', 'one'],
        ]
        const children = orders.map((names) => {
          const settings = { name: 'unused', names, callers: CALLERS, rounds: ROUNDS, table, service }
          return ctx.startChild('small-pool.ts', { ...settings, dataSource: { poolSize: 2 } })
        })
        for (const child of children) await child.next('ready', 30_000)
        for (const child of children) child.send({ type: 'go' })
        await settlesWithin(40_000, 'both processes', Promise.all(children.map((child) => child.next('done', 40_000))))
        await Promise.all(children.map((child) => child.exited))
        const rows = await ctx.outsider.query<{ value: number }>(`SELECT value FROM ${table}`)
        expect(rows.reduce((sum, { value }) => sum + Number(value), 0)).to.equal(children.length * CALLERS * ROUNDS)
      })
    }

    it('have room for one caller after another, when those at the head of the queue leave for lack of a connection', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const locks = await ctx.service({}, dataSource)
      const stranger = await ctx.connectOutsider()
      const key = ctx.keyOf('head')
      await stranger.getLock(key)
      const head = locks.transaction('head', { timeout: 600 }, () => undefined).catch((error: unknown) => error)
      const behind = locks.acquire('head', { timeout: '10s' })
      await until('the waiters', async () => (await ctx.outsider.userLocksOf(ctx.database)).length > 0)
      // Now the head can hardly have a connection, whichever caller has the lock: it leaves, or is through if it had one already.
      const runner = dataSource.createQueryRunner()
      await runner.connect()
      await stranger.releaseLock(key)
      await settlesWithin(2_000, 'the head', head)
      await (await settlesWithin(1_500, 'the one behind', behind)).release()
      await runner.release()
    })
  })
})
