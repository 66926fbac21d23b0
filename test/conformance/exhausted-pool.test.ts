import { expect } from 'chai'
import { NamedLockConfigurationError, NamedLockError, NamedLockService } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { typeorms, type DataSource } from '../support/typeorms.js'
import { settlesWithin } from '../support/until.js'

describe('a pool without room', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      async function takeAll(dataSource: DataSource, count: number) {
        const runners = Array.from({ length: count }, () => dataSource.createQueryRunner())
        await Promise.all(runners.map((runner) => runner.connect()))
        return () => Promise.all(runners.map((runner) => runner.release()))
      }

      it('of one connection is a configuration error with that reason', async () => {
        for (const options of [{ poolSize: 1 }, { extra: ctx.poolOf(1) }]) {
          const dataSource = await ctx.dataSource(options)
          const use = async () => {
            const locks = await ctx.service({}, dataSource)
            const lock = await locks.acquire('a', { timeout: '2s' })
            await lock.release()
          }
          const error = await settlesWithin(
            1_500,
            JSON.stringify(options),
            rejection(use(), NamedLockConfigurationError),
          )
          expect(error.message).to.match(/pool/i).and.match(/own/)
        }
      })

      it('of one connection is enough when the locks have connections of their own', async () => {
        const dataSource = await ctx.dataSource({ poolSize: 1 })
        const locks = await ctx.service({ connections: 'own' }, dataSource)
        const held = await Promise.all(['a', 'b', 'c'].map((name) => locks.acquire(name)))
        const work = dataSource.query('SELECT 42 AS answer')
        expect(Number((await settlesWithin(2_000, 'the query of the application', work))[0].answer)).to.equal(42)
        await Promise.all(held.map((lock) => lock.release()))
      })

      it('of two leaves one connection to the application, for any number of locks and waiters', async () => {
        const dataSource = await ctx.dataSource({ poolSize: 2 })
        const locks = await ctx.service({}, dataSource)
        const foreign = ctx.keyOf('foreign')
        await ctx.outsider.getLock(foreign)
        const names = Array.from({ length: 20 }, (_, i) => `n${i}`)
        const held = await Promise.all(names.map((name) => locks.acquire(name)))
        const waiting = ['foreign', ...names].map((name) => locks.acquire(name, { timeout: '10s' }))
        const query = dataSource.query('SELECT 42 AS answer')
        expect(Number((await settlesWithin(2_000, 'the query of the application', query))[0].answer)).to.equal(42)
        const workers = names.map((name) => locks.withLock(`${name}-work`, () => dataSource.query('SELECT 1')))
        await settlesWithin(5_000, 'work that needs a connection', Promise.all(workers))
        await Promise.all([ctx.outsider.releaseLock(foreign), ...held.map((lock) => lock.release())])
        for (const lock of await settlesWithin(5_000, 'the waiters', Promise.all(waiting))) await lock.release()
      })

      it('causes a clear error in time, not a hang, and calls work when there is room again', async () => {
        const dataSource = await ctx.dataSource({ poolSize: 3 })
        const giveBack = await takeAll(dataSource, 3)
        const locks = await ctx.service({}, dataSource)
        const start = performance.now()
        const calls = [
          rejection(locks.acquire('a', { timeout: 400 }), NamedLockError),
          rejection(
            locks.withLock('b', { timeout: 400 }, () => expect.fail('the work ran')),
            NamedLockError,
          ),
        ]
        const errors = await settlesWithin(2_000, 'calls with a timeout of 400 ms', Promise.all(calls))
        expect(performance.now() - start).to.be.at.least(400)
        for (const error of errors) expect(error.message).to.match(/pool|connection/i)
        await giveBack()
        const lock = await locks.acquire('a', { timeout: '2s' })
        await lock.release()
      })

      it('does not make tryAcquire hang either', async () => {
        const dataSource = await ctx.dataSource({ poolSize: 2 })
        const giveBack = await takeAll(dataSource, 2)
        const locks = new NamedLockService(dataSource)
        const outcome = locks.tryAcquire('a').then(
          (lock) => lock,
          (error: unknown) => error,
        )
        const result = await settlesWithin(7_000, 'tryAcquire', outcome)
        if (result !== null) expect(result).to.be.instanceOf(NamedLockError)
        await giveBack()
        const lock = await locks.acquire('a', { timeout: '2s' })
        await lock.release()
        await locks.close()
        await ctx.expectNothingBorrowed(dataSource)
      })

      it('serves a caller as soon as the application releases a connection', async () => {
        const dataSource = await ctx.dataSource({ poolSize: 2 })
        const giveBack = await takeAll(dataSource, 2)
        const locks = await ctx.service({}, dataSource)
        const waiting = locks.acquire('a', { timeout: '10s' })
        await giveBack()
        const lock = await settlesWithin(2_000, 'the caller', waiting)
        await lock.release()
      })
    },
    typeorms,
    'core',
  )
})
