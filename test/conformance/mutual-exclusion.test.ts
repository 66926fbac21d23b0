import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { NamedLockService } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { until } from '../support/until.js'

describe('mutual exclusion', () => {
  forEachDialectAndTypeorm((ctx) => {
    /** Runs a hundred callers for one name; resolves to the time until the last one has finished. */
    async function hundredCallers(services: readonly NamedLockService[]): Promise<void> {
      let inside = 0
      let most = 0
      let done = 0
      await Promise.all(
        Array.from({ length: 100 }, (_, i) =>
          services[i % services.length]!.withLock('counter', { timeout: '10s' }, async () => {
            most = Math.max(most, ++inside)
            await sleep(1)
            inside--
            done++
          }),
        ),
      )
      expect(most, 'callers inside at once').to.equal(1)
      expect(done).to.equal(100)
    }

    it('lets one of a hundred callers in at a time', async () => {
      await hundredCallers([await ctx.service()])
    })

    it('lets one in at a time across services of one DataSource', async () => {
      const dataSource = await ctx.dataSource()
      await hundredCallers([await ctx.service({}, dataSource), await ctx.service({}, dataSource)])
    })

    it('lets one in at a time across DataSources', async () => {
      await hundredCallers([await ctx.service(), await ctx.service()])
    })

    it('lets one in at a time when every lock comes from the server', async () => {
      const options = { handOver: { times: 0 } }
      await hundredCallers([await ctx.service(options), await ctx.service(options)])
    })

    it('serves the callers of a process in order', async () => {
      const locks = await ctx.service()
      const order: number[] = []
      const first = await locks.acquire('counter')
      const callers = Array.from({ length: 50 }, (_, i) => locks.withLock('counter', () => order.push(i)))
      await first.release()
      await Promise.all(callers)
      expect(order).to.deep.equal(Array.from({ length: 50 }, (_, i) => i))
    })

    it('lets waiters of another process in before the callers of this one run out', async () => {
      const locks = await ctx.service()
      const other = await ctx.connectOutsider()
      let stop = false
      let rounds = 0
      const busy = Promise.all(
        Array.from({ length: 4 }, async () => {
          while (!stop) {
            await locks.withLock('counter', { timeout: '10s' }, () => sleep(2))
            rounds++
          }
        }),
      )
      await until('the callers to be at it', () => rounds > 4)
      const key = ctx.keyOf('counter')
      const got = await other.getLock(key, 5)
      const roundsBefore = rounds
      if (got) await other.releaseLock(key)
      stop = true
      await busy
      expect(got, `an outsider's wait of 5 s, against ${roundsBefore} rounds`).to.equal(true)
    })
  })
})
