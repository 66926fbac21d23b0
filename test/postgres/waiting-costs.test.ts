import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { forEachDialect } from '../support/conformance.js'
import { until } from '../support/until.js'

/*
 * A blocked wait has a snapshot. What waits for the end of old snapshots must not have to wait for callers of a lock.
 */
describe('callers that wait for a lock on PostgreSQL', () => {
  forEachDialect((ctx) => {
    beforeEach(async function () {
      if (!ctx.isPostgres) return this.skip()
      await ctx.outsider.query(`CREATE TABLE IF NOT EXISTS ${ctx.database}.goods (id int, name text)`)
      await ctx.outsider.query(`DROP INDEX IF EXISTS ${ctx.database}.goods_by_name`)
    })

    const build = `CREATE INDEX CONCURRENTLY goods_by_name ON ${ctx.database}.goods (name)`

    /**
     * Waiters for a lock that another session holds, each with a service of its own, as in other processes. Not lockTransaction: what
     * waits for a snapshot waits for the end of its transaction, and that one is the application's.
     */
    async function waiters(pooling: 'session' | 'transaction'): Promise<() => Promise<void>> {
      const stranger = await ctx.connectOutsider()
      await stranger.getLock(ctx.keyOf('busy'))
      const calls: Promise<unknown>[] = []
      for (const kind of ['withLock', 'dedicated', 'transaction', 'several'] as const) {
        const locks = await ctx.service({ timeout: '60s', pooling }, await ctx.dataSource())
        if (kind === 'several') calls.push(locks.transaction(['another', 'busy'], () => {}))
        else if (kind === 'transaction' || pooling === 'transaction') calls.push(locks.transaction('busy', () => {}))
        else calls.push(locks.withLock('busy', { session: kind === 'dedicated' ? kind : 'shared' }, () => {}))
      }
      if (pooling === 'session') await until('all wait in the server', async () => (await blocked()) === calls.length)
      else await sleep(500)
      return async () => {
        await stranger.releaseLock(ctx.keyOf('busy'))
        await Promise.all(calls)
      }
    }

    async function blocked(): Promise<number> {
      const sql = `SELECT count(*) FROM pg_stat_activity WHERE datname='${ctx.database}' AND wait_event='advisory'`
      return Number(await ctx.outsider.value(sql))
    }

    async function timed(work: () => Promise<unknown>): Promise<number> {
      const startedAt = performance.now()
      await work()
      return performance.now() - startedAt
    }

    for (const pooling of ['session', 'transaction'] as const) {
      it(`do not hold up an index that is built concurrently: pooling ${pooling}`, async function () {
        this.timeout(60_000)
        const migrator = await ctx.connectOutsider()
        const alone = await timed(() => migrator.query(build))
        const end = await waiters(pooling)
        const took: number[] = []
        for (let i = 0; i < 3; i++) {
          await migrator.query(`DROP INDEX ${ctx.database}.goods_by_name`)
          await migrator.query("SET lock_timeout = '2s'")
          took.push(await timed(() => migrator.query(build)))
          await migrator.query('RESET lock_timeout')
        }
        await end()
        // The one that holds a lock while it waits for another gives the server the time to find a deadlock now and then: 1.25 s.
        expect(Math.min(...took)).to.be.below(alone + 700)
        expect(Math.max(...took)).to.be.below(alone + 2_000)
      })
    }

    it('do not hold back what may be vacuumed', async function () {
      this.timeout(60_000)
      const end = await waiters('session')
      await ctx.outsider.query(`INSERT INTO ${ctx.database}.goods VALUES (1, 'one')`)
      const newest = Number(await ctx.outsider.value('SELECT txid_current()'))
      // Every snapshot that there was is gone, though all of them go on waiting.
      await until(
        'newer snapshots',
        async () => {
          const sql = `SELECT count(*) FROM pg_stat_activity WHERE datname='${ctx.database}' AND backend_xmin::text::bigint < ${newest}`
          return Number(await ctx.outsider.value(sql)) === 0
        },
        { within: 4_000 },
      )
      await until('they still wait', async () => (await blocked()) > 0)
      await end()
    })

    it('cost the server few statements', async function () {
      this.timeout(60_000)
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({ timeout: '60s' }, dataSource)
      const stranger = await ctx.connectOutsider()
      await stranger.getLock(ctx.keyOf('busy'))
      const calls = Array.from({ length: 50 }, () => locks.withLock('busy', () => {}))
      await until('one of them waits in the server', async () => (await blocked()) === 1)
      const before = await transactions()
      await sleep(2_000)
      const perSecond = ((await transactions()) - before) / 2
      await stranger.releaseLock(ctx.keyOf('busy'))
      await Promise.all(calls)
      expect(perSecond).to.be.below(80)
    })

    /** Of this database, as far as they have been counted. */
    async function transactions(): Promise<number> {
      await ctx.outsider.query('SELECT pg_stat_clear_snapshot()')
      const sql = `SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname='${ctx.database}'`
      return Number(await ctx.outsider.value(sql))
    }
  })
})
