import { expect } from 'chai'
import { NamedLockLostError, NamedLockTimeoutError } from '../../src/index.js'
import { typeorms } from '../support/typeorms.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin } from '../support/until.js'

describe("session: 'dedicated'", () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      const dedicated = { session: 'dedicated' } as const

      it('reports a loss when the work itself has released the lock', async () => {
        const locks = await ctx.service()
        const work = locks.withLock('report', dedicated, (lock) => lock.manager.query('SELECT RELEASE_ALL_LOCKS()'))
        expect((await rejection(work, NamedLockLostError)).message).to.include("'report'")
        expect(await locks.withLock('report', dedicated, (lock) => lock.verify())).to.equal(true)
      })

      it('has a manager that works on the connection that holds the lock', async () => {
        const locks = await ctx.service()
        const check = async (lock: Awaited<ReturnType<typeof acquire>>) => {
          const [row] = await lock.manager.query('SELECT CONNECTION_ID() AS id, DATABASE() AS db')
          expect(String(row.id)).to.equal(await ctx.outsider.holderOf(lock.key))
          expect(row.db).to.equal(ctx.database)
          expect(await lock.verify()).to.equal(true)
          expect(await lock.fencingToken()).to.be.a('bigint')
        }
        const acquire = () => locks.acquire('report', dedicated)
        const lock = await acquire()
        await check(lock)
        await lock.release()
        expect(await ctx.outsider.holderOf(lock.key)).to.equal(null)
        await locks.withLock('report', dedicated, check)
        const result = await locks.tryWithLock('report', dedicated, check)
        expect(result.acquired).to.equal(true)
        const tried = await locks.tryAcquire(['report', 'too'], dedicated)
        const [row] = await tried!.manager.query('SELECT CONNECTION_ID() AS id')
        for (const key of tried!.keys) expect(await ctx.outsider.holderOf(key)).to.equal(String(row.id))
        await tried!.release()
      })

      it('has a connection for each lock', async () => {
        const locks = await ctx.service()
        const [one, two, shared] = await Promise.all([
          locks.acquire('one', dedicated),
          locks.acquire('two', dedicated),
          locks.acquire('shared'),
        ])
        const holders = await Promise.all([one, two, shared].map(({ key }) => ctx.outsider.holderOf(key)))
        expect(new Set(holders).size).to.equal(3)
        await Promise.all([one.release(), two.release(), shared.release()])
      })

      it('excludes locks on the shared session, both ways', async () => {
        const locks = await ctx.service()
        const own = await locks.acquire('report', dedicated)
        expect(await locks.tryAcquire('report')).to.equal(null)
        const shared = locks.acquire('report', { timeout: '5s' })
        await own.release()
        const held = await settlesWithin(3_000, 'the shared waiter', shared)
        expect(await locks.tryAcquire('report', dedicated)).to.equal(null)
        await rejection(locks.acquire('report', { ...dedicated, timeout: 100 }), NamedLockTimeoutError)
        const next = locks.acquire('report', { ...dedicated, timeout: '5s' })
        await held.release()
        await (await settlesWithin(3_000, 'the dedicated waiter', next)).release()
      })

      it('excludes among each other', async () => {
        const dataSource = await ctx.dataSource({ poolSize: 5 })
        const locks = await ctx.service({}, dataSource)
        let inside = 0
        let most = 0
        await Promise.all(
          Array.from({ length: 12 }, () =>
            locks.withLock('report', dedicated, async ({ manager }) => {
              most = Math.max(most, ++inside)
              await manager.query('SELECT 1')
              inside--
            }),
          ),
        )
        expect(most).to.equal(1)
      })

      it('keeps its lock over transactions of its manager', async () => {
        const locks = await ctx.service()
        await locks.withLock('report', dedicated, async (lock) => {
          await lock.manager.transaction((manager) => manager.query('SELECT 1'))
          await lock.manager
            .transaction(async () => {
              throw new Error('roll back')
            })
            .catch(() => undefined)
          expect(await lock.verify()).to.equal(true)
          expect(await ctx.outsider.getLock(lock.key)).to.equal(false)
        })
      })

      it('returns its connection in a usable state', async () => {
        const dataSource = await ctx.dataSource({ poolSize: 3 })
        const locks = await ctx.service({}, dataSource)
        for (let i = 0; i < 10; i++)
          await locks.withLock('report', dedicated, ({ manager }) => manager.query('SELECT 1'))
        expect(await ctx.outsider.connectionsOf(ctx.database)).to.have.length.of.at.most(3)
        const answers = Array.from({ length: 6 }, () => dataSource.query('SELECT 42 AS answer'))
        for (const [row] of await settlesWithin(2_000, 'queries of the application', Promise.all(answers))) {
          expect(Number(row.answer)).to.equal(42)
        }
      })
    },
    typeorms,
    'core',
  )
})
