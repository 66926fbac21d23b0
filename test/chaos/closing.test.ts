import { expect } from 'chai'
import type { NamedLockServiceOptions } from '../../src/index.js'
import { forEachServer } from '../support/conformance.js'
import { clock } from '../support/fixtures/clock.js'
import { reasonOf } from '../support/rejection.js'
import { sideBySide } from '../support/side-by-side.js'
import { settlesWithin, until } from '../support/until.js'

const kinds: Readonly<Record<string, NamedLockServiceOptions>> = {
  'of the pool': {},
  'of its own': { connections: 'own' },
}

describe('closing in bad times', () => {
  forEachServer((ctx) => {
    ctx.leakPatience = 12_000 // connections on their way into a silent network end by their own time limits

    it('waits neither for a network that swallows everything nor for a connection on its way', async function () {
      this.timeout(40_000)
      const cases: Record<string, () => Promise<void>> = {}
      for (const [what, options] of Object.entries(kinds)) {
        const behindAProxy = async () => {
          const proxy = await ctx.proxy()
          const dataSource = await ctx.dataSource({ port: proxy.port })
          return { proxy, dataSource, service: await ctx.service(options, dataSource) }
        }
        cases[`nothing held, connections ${what}`] = async () => {
          const { proxy, service } = await behindAProxy()
          await (await service.acquire('idle')).release()
          proxy.blackHole()
          const from = clock()
          await settlesWithin(20_000, `close(), connections ${what}`, service.close())
          expect(clock() - from, `close() with connections ${what}: the lease is 30 s`).to.be.lessThan(10_000)
          proxy.heal()
        }
        cases[`connecting, connections ${what}`] = async () => {
          const { proxy, service, dataSource } = await behindAProxy()
          proxy.blackHole()
          const waiting = reasonOf(service.acquire('a'))
          const from = clock()
          await until('a connection on its way', () => proxy.accepted > 1 || clock() - from > 500)
          await settlesWithin(9_000, `close(), connections ${what}`, service.close())
          expect(await waiting).to.have.property('code', 'CLOSED')
          proxy.heal()
          await settlesWithin(9_000, 'destroy()', dataSource.destroy())
          await until('the end of the connection that was on its way', () => proxy.connections === 0, {
            within: 15_000,
          })
        }
      }
      cases['a session is being opened on a connection that has fallen silent'] = async () => {
        const proxy = await ctx.proxy()
        const service = await ctx.service({ connections: 'own' }, await ctx.dataSource({ port: proxy.port }))
        const foreign = `${ctx.database}.foreign`
        await ctx.outsider.getLock(foreign)
        await service.isLocked('a') // on another connection, which stays in the service's own pool
        const isWaiting = new Promise((resolve) => service.once('waiting', resolve))
        const waiting = reasonOf(service.acquire('foreign'))
        await isWaiting
        proxy.blackHole()
        await settlesWithin(9_000, 'close()', service.close())
        expect(await waiting).to.have.property('code', 'CLOSED')
        await ctx.outsider.releaseLock(foreign)
        proxy.heal()
      }
      await sideBySide(cases)
    })

    it('ends own connections with the DataSource, also those that no session uses', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const service = await ctx.service({ connections: 'own' }, dataSource)
      await (await service.acquire('a')).release()
      // A caller that waits for a connection of the pool makes the service return its sessions, here to its own small pool.
      const runners = Array.from({ length: 3 }, () => dataSource.createQueryRunner())
      const [first, ...others] = runners.map((runner) => runner.connect().then(() => runner))
      await (await first)!.release()
      await Promise.all(others.map(async (other) => (await other).release()))
      await dataSource.destroy()
      await until('the end of all connections', async () => {
        return (await ctx.outsider.connectionsOf(ctx.database)).length === 0
      })
    })
  })
})
