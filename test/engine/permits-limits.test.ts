import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockLostError, NamedLockTimeoutError, type NamedLock } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'
import { hookStatements } from './statement-hook.js'

const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))
const release = (locks: readonly (NamedLock<unknown> | null)[]) =>
  Promise.all(locks.flatMap((lock) => (lock ? [lock.release()] : [])))

describe('permits at their limits', function () {
  this.timeout(60_000)

  forEachDialect((ctx) => {
    it('are as many as 1 000, and all of them are found', async () => {
      const maxLocks = 3_000
      const one = await ctx.service({ maxLocks })
      const other = await ctx.service({ maxLocks }, await ctx.dataSource())
      const held = await Promise.all(times(990, () => one.acquire('many', { permits: 1_000, timeout: '30s' })))
      expect(new Set(held.map(({ permit }) => permit)).size).to.equal(990)
      const rest = await Promise.all(times(10, () => other.tryAcquire('many', { permits: 1_000 })))
      expect(new Set([...held, ...rest].map((lock) => lock?.permit)).size).to.equal(1_000)
      expect(await other.tryAcquire('many', { permits: 1_000 })).to.equal(null)
      expect(await other.isLocked('many', { permits: 1_000 })).to.equal(true)
      const waiting = other.acquire('many', { permits: 1_000, timeout: '20s' })
      await sleep(50)
      await held[500]!.release()
      expect((await waiting).permit).to.equal(held[500]!.permit)
      await release([...held, ...rest, await waiting])
    })

    it('cost no connection each, neither held nor waited for', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 20 })
      const locks = await ctx.service({ maxLocks: 3_000 }, dataSource)
      const names = times(100, (i) => `pool ${i}`)
      const held = await Promise.all(
        names.flatMap((name) => times(10, () => locks.acquire(name, { permits: 10, timeout: '30s' }))),
      )
      const waits = names.flatMap((name) => times(10, () => locks.acquire(name, { permits: 10, timeout: '30s' })))
      await sleep(100)
      expect((await ctx.outsider.connectionsOf(ctx.database)).length).to.be.at.most(4)
      await release(held)
      await release(await Promise.all(waits))
    })

    it('take one statement where one is free, and none to be handed over', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({ handOver: { times: Infinity, for: '1h' } }, dataSource)
      await locks.withLock('a', { permits: 5 }, () => {})
      const statements: string[] = []
      hookStatements(dataSource).afterSend = ({ sql }) => void statements.push(sql)
      const lock = await locks.acquire('a', { permits: 5 })
      expect(statements, 'for a free permit').to.have.length(1)
      const others = await Promise.all(times(4, () => locks.acquire('a', { permits: 5 })))
      const waits = times(20, () => locks.withLock('a', { permits: 5 }, () => {}))
      await sleep(20)
      const before = statements.length
      await lock.release()
      await Promise.all(waits)
      expect(statements.length - before, 'for 20 hand-overs, and a release').to.be.at.most(1)
      await release(others)
    })

    it('are excluded between two services of one DataSource that have other sessions', async () => {
      const dataSource = await ctx.dataSource()
      const [one, two] = [await ctx.service({}, dataSource), await ctx.service({ lease: '9s' }, dataSource)]
      const held = await Promise.all(times(4, (i) => [one, two][i % 2]!.acquire('a', { permits: 4 })))
      expect(new Set(held.map(({ permit }) => permit)).size).to.equal(4)
      expect(await two.tryAcquire('a', { permits: 4 })).to.equal(null)
      const waiting = two.acquire('a', { permits: 4 })
      await held[0]!.release()
      await release([...held, await waiting])
    })

    it('come on a pool of two with a single session, also for transactions', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const small = await ctx.service({ maxSessions: 1 }, dataSource)
      const other = await ctx.service({}, await ctx.dataSource())
      let inside = 0
      let most = 0
      const work = async (): Promise<void> => {
        most = Math.max(most, ++inside)
        await sleep(3)
        inside--
      }
      const options = { permits: 2, timeout: '20s' } as const
      await Promise.all([
        ...times(8, () => small.withLock('a', options, work)),
        ...times(6, () => small.transaction('a', options, work)),
        ...times(6, () => small.withLock('a', { ...options, session: 'dedicated' }, work)),
        ...times(8, () => other.withLock('a', options, work)),
        ...times(6, () => other.transaction('a', options, work)),
      ])
      expect(most).to.be.at.most(2)
    })

    it('are all lost with the shared session, and found anew by callers that wait', async () => {
      const locks = await ctx.service()
      const held = await Promise.all(times(5, () => locks.acquire('a', { permits: 5 })))
      const waits = times(5, () => locks.acquire('a', { permits: 5, timeout: '20s' }))
      const { connectionId } = (await locks.holder('a', { permits: 5 }))!
      await ctx.outsider.kill(connectionId)
      const next = await Promise.all(waits)
      for (const lock of held) expect(lock.signal.reason).to.be.instanceOf(NamedLockLostError)
      expect(new Set(next.map(({ permit }) => permit)).size).to.equal(5)
      for (const lock of next) expect(await lock.verify()).to.equal(true)
      await release(next)
    })

    it('pass from process to process, however short their turns are', async () => {
      const handOver = { times: 0, for: 0 }
      const services = [await ctx.service({ handOver }), await ctx.service({ handOver }, await ctx.dataSource())]
      const first = await services[0]!.acquire('a', { permits: 1, session: 'dedicated' })
      const waits = times(8, (i) =>
        services[i % 2]!.withLock('a', { permits: 1, timeout: '5s' }, () => sleep(i > 3 ? 10 : 1)),
      )
      // Both poll, and show it.
      await sleep(60)
      await first.release()
      await Promise.all(waits)
    })

    it('are asked for anew when the caller that was to use more of them has left', async () => {
      const dataSource = await ctx.dataSource()
      const [locks, other] = [await ctx.service({}, dataSource), await ctx.service({}, await ctx.dataSource())]
      const held = await Promise.all(times(64, () => other.acquire('a', { permits: 64, timeout: '20s' })))
      const waiting = locks.acquire('a', { permits: 1, timeout: '20s' })
      await sleep(30)
      const controller = ctx.abortController()
      const { random } = Math
      const hook = hookStatements(dataSource)
      const answered = new Promise<void>((resolve) => {
        // The first group is that of the 64 that are held; the caller leaves before the next one is asked for.
        hook.onAnswer = ({ sql }) => {
          if (sql.length < 1_000) return
          hook.onAnswer = undefined
          controller.abort(new Error('enough'))
          setImmediate(resolve)
        }
      })
      try {
        Math.random = () => 0
        const leaving = rejection(locks.acquire('a', { permits: 200, signal: controller.signal }))
        await answered
        await leaving
        const lock = await locks.tryAcquire('a', { permits: 200 })
        expect(lock?.permit).to.be.at.least(64)
        await lock?.release()
      } finally {
        Math.random = random
      }
      await release(held)
      await release([await waiting])
    })

    it('are given back when they come too late', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      await locks.withLock('a', { permits: 3 }, () => {})
      for (let i = 0; i < 10; i++) {
        const controller = ctx.abortController()
        const asked = times(3, (at) =>
          rejection(
            locks.acquire('a', {
              permits: 3,
              signal: controller.signal,
              session: at === 2 ? 'dedicated' : 'shared',
            }),
          ),
        )
        // The requests are under way.
        controller.abort(new Error('enough'))
        await Promise.all(asked)
      }
      await until('no permit on the server', async () => (await ctx.outsider.userLocksOf(ctx.database)).length === 0)
      await release(await Promise.all(times(3, () => locks.tryAcquire('a', { permits: 3 }))))
    })

    it('are not left behind by a storm of aborts and timeouts, nor are locks of readers and writers', async () => {
      const services = [await ctx.service(), await ctx.service({}, await ctx.dataSource())]
      const ways = [{ mode: 'read' }, { mode: 'write' }, { permits: 2 }] as const
      const call = async (i: number): Promise<void> => {
        const controller = ctx.abortController()
        setTimeout(() => controller.abort(new Error('enough')), Math.random() * 15)
        const timeout = Math.random() < 0.3 ? 10 : '5s'
        const session = i % 5 === 0 ? 'dedicated' : 'shared'
        await services[i % 2]!.withLock('a', { ...ways[i % 3], signal: controller.signal, session, timeout }, () =>
          sleep(Math.random() * 5),
        ).catch((error: Error) => {
          if (!(error instanceof NamedLockTimeoutError) && error.message !== 'enough') throw error
        })
      }
      for (let round = 0; round < 20; round++) await Promise.all(times(8, call))
      for (const locks of services) {
        await locks.withLock('a', { mode: 'write', timeout: '10s' }, () => {})
        await release(await Promise.all(times(2, () => locks.acquire('a', { permits: 2, timeout: '10s' }))))
      }
      await until('no lock on the server', async () => (await services[0]!.list()).length === 0)
    })

    it('wait through a time without connections, and time out in time', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const locks = await ctx.service({}, dataSource)
      const runners = times(2, () => dataSource.createQueryRunner())
      for (const runner of runners) await runner.connect()
      const from = performance.now()
      const calls = [
        rejection(locks.acquire('a', { permits: 2, timeout: 100 })),
        rejection(locks.transaction('a', { permits: 2, timeout: 100 }, () => expect.fail('the work ran'))),
      ]
      for (const call of calls) expect(await call).to.be.instanceOf(NamedLockTimeoutError)
      expect(performance.now() - from).to.be.lessThan(2_000)
      const waits = [
        locks.acquire('a', { permits: 2, timeout: '20s' }),
        locks.acquire('a', { permits: 2, timeout: '20s', session: 'dedicated' }),
      ]
      await sleep(50)
      for (const runner of runners) await runner.release()
      await release(await Promise.all(waits))
    })

    it('end with their transactions behind a transaction pooler', async function () {
      if (!ctx.isPostgres) this.skip()
      const locks = await ctx.service({ pooling: 'transaction' })
      const other = await ctx.service({ pooling: 'transaction' }, await ctx.dataSource())
      const taken = new Set<number | undefined>()
      let most = 0
      const call = (service: typeof locks): Promise<unknown> =>
        service.transaction('a', { permits: 2, timeout: '20s' }, async (manager, lock) => {
          expect(taken.has(lock.permit), `permit ${lock.permit} twice`).to.equal(false)
          taken.add(lock.permit)
          most = Math.max(most, taken.size)
          await manager.query('SELECT pg_sleep(0.003)')
          taken.delete(lock.permit)
        })
      await Promise.all(times(16, (i) => call([locks, other][i % 2]!)))
      expect(most).to.equal(2)
      expect(await locks.isLocked('a', { permits: 1 })).to.equal(false)
      const error = await rejection(locks.acquire('a', { permits: 2 }))
      expect(error.message).to.match(/pooling/)
    })

    it('do not hold up a holder that releases in a silent network', async () => {
      const proxy = await ctx.proxy()
      const dataSource = await ctx.dataSource({ port: proxy.port })
      const locks = await ctx.service({ lease: '4s' }, dataSource)
      const held = await Promise.all(times(3, () => locks.acquire('a', { permits: 3 })))
      proxy.blackHole()
      const from = performance.now()
      await release(held)
      expect(performance.now() - from).to.be.lessThan(3_900)
      const waiting = (await ctx.service()).acquire('a', { permits: 1, timeout: '20s' })
      await release([await waiting])
      proxy.heal()
      await release([await locks.acquire('a', { permits: 3, timeout: '20s' })])
    })

    it('are not asked for as an exact name while this process holds them', async function () {
      if (ctx.isPostgres) this.skip()
      const locks = await ctx.service()
      const permit = await locks.acquire('a', { permits: 1 })
      const error = await rejection(locks.acquire(permit.key, { exactName: true, timeout: 0 }))
      expect(error.message).to.match(/is the key of a permit/)
      await permit.release()
      const exact = await locks.acquire(permit.key, { exactName: true })
      expect(await locks.tryAcquire('a', { permits: 1 })).to.equal(null)
      await exact.release()
    })
  })
})
