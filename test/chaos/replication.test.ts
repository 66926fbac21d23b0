import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { mysqlKinds } from '../support/servers.js'
import { forEachOwnServer } from '../support/conformance.js'
import { until } from '../support/until.js'

describe('a DataSource with replication, when its database is away for a while', () => {
  forEachOwnServer(
    (ctx) => {
      for (const restoreNodeTimeout of [undefined, 300]) {
        it(`recovers without a restart of the process; restoreNodeTimeout: ${restoreNodeTimeout}`, async function () {
          this.timeout(120_000)
          const uncaught: unknown[] = []
          const note = (error: unknown) => uncaught.push(error)
          process.on('uncaughtExceptionMonitor', note)
          const { kind: _kind, ...master } = ctx.address
          const replication = { master, slaves: [], ...(restoreNodeTimeout && { restoreNodeTimeout }) }
          const dataSource = await ctx.dataSource({ poolSize: 6, more: { replication } })
          const locks = await ctx.service({}, dataSource)
          const codes = (await locks.check()).map(({ code }) => code)
          expect(codes.includes('REPLICATION_NOT_RESTORED')).to.equal(restoreNodeTimeout === undefined)
          await ctx.outsider.getLock(ctx.keyOf('away'))
          // The process is idle but for a lock that is waited for.
          const waiting = locks.acquire('away', { timeout: '60s' })
          await until('the lock is waited for', async () => (await locks.list())[0]?.waiters.length === 1)
          await ctx.server.kill()
          const asked = [locks.check(), locks.list(), locks.transaction('t', () => Promise.resolve())]
          const outcomes = await Promise.allSettled(asked)
          expect(outcomes.every(({ status }) => status === 'rejected')).to.equal(true)
          await sleep(3_000)
          await ctx.server.restart()
          await ctx.reconnectOutsider()
          await (await waiting).release()
          await locks.transaction('t', (manager) => manager.query('SELECT 1'))
          // The application's own queries find the master as well.
          await dataSource.query('SELECT 1')
          process.off('uncaughtExceptionMonitor', note)
          expect(uncaught).to.deep.equal([])
        })
      }
    },
    () => [],
    mysqlKinds,
  )
})
