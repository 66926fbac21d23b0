import { expect } from 'chai'
import { NamedLockClosedError, NamedLockService, NamedLockTimeoutError } from '../../src/index.js'
import { typeorms } from '../support/typeorms.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

describe('close', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      const foreign = () => ctx.keyOf('foreign')

      it('rejects waiters with a NamedLockClosedError, for every kind of holder', async () => {
        const locks = await ctx.service()
        const mine = await locks.acquire('mine')
        await ctx.outsider.getLock(foreign())
        let closing = 0
        const waiting = [
          locks.acquire('mine', { timeout: Infinity }),
          locks.acquire('foreign', { timeout: '1h' }),
          locks.withLock('foreign', () => expect.fail('the work ran')),
          locks.tryWithLock('foreign', { timeout: '10s' }, () => expect.fail('the work ran')),
          locks.acquire(['free', 'foreign']),
        ].map(async (call) => {
          const error = await rejection(call, NamedLockClosedError)
          return { error, after: performance.now() - closing }
        })
        await until('a waiter on the server', async () => {
          const onServer = await ctx.outsider.userLocksOf(ctx.database)
          return onServer.some(({ status }) => status === 'PENDING')
        })
        closing = performance.now()
        await settlesWithin(2_000, 'close()', locks.close())
        for (const { error, after } of await Promise.all(waiting)) {
          expect(error.code).to.equal('CLOSED')
          expect(after).to.be.lessThan(1_000)
        }
        expect(mine.isHeld).to.equal(false)
        await ctx.outsider.releaseLock(foreign())
      })

      it('refuses later calls, and may be called again', async () => {
        const locks = await ctx.service()
        await (await locks.acquire('a')).release()
        await Promise.all([locks.close(), locks.close()])
        await locks.close()
        await rejection(locks.acquire('a'), NamedLockClosedError)
        await rejection(locks.tryAcquire('a'), NamedLockClosedError)
        await rejection(
          locks.withLock('a', () => expect.fail('the work ran')),
          NamedLockClosedError,
        )
        await rejection(
          locks.tryWithLock('a', () => expect.fail('the work ran')),
          NamedLockClosedError,
        )
      })

      it('closes an unused service', async () => {
        await (await ctx.service()).close()
      })

      it('releases idle handles at once, and aborts their signals', async () => {
        const locks = await ctx.service({ closeTimeout: '10s' })
        const one = await locks.acquire('one')
        const several = await locks.acquire(['two', 'three'])
        const own = await locks.acquire('own', { session: 'dedicated' })
        const handles = [one, several, own]
        const signals = handles.map((lock) => lock.signal)
        await settlesWithin(2_000, 'close() with idle handles', locks.close())
        for (const signal of signals) expect(signal.aborted).to.equal(true)
        for (const lock of handles) {
          expect(lock.isHeld, lock.name).to.equal(false)
          for (const key of lock.keys) expect(await ctx.outsider.holderOf(key), key).to.equal(null)
          await lock.release()
          expect(await lock.verify(), lock.name).to.equal(false)
        }
      })

      it('lets running work end, and keeps its lock until then', async () => {
        const locks = await ctx.service()
        let finish = (): void => undefined
        let key = ''
        const end = new Promise<void>((resolve) => (finish = resolve))
        const started = new Promise<void>((resolve) => {
          // The result of the work is checked below.
          void working.push(
            locks.withLock('report', async (lock) => {
              key = lock.key
              resolve()
              await end
              expect(lock.isHeld).to.equal(true)
              expect(lock.signal.aborted).to.equal(false)
              expect(await ctx.outsider.getLock(lock.key)).to.equal(false)
              return 'done'
            }),
          )
        })
        await started
        let closed = false
        const closing = locks.close().then(() => (closed = true))
        await rejection(locks.acquire('other'), NamedLockClosedError)
        expect(await ctx.outsider.getLock(key)).to.equal(false)
        expect(closed).to.equal(false)
        finish()
        expect(await working.pop()).to.equal('done')
        await settlesWithin(2_000, 'close() after the work', closing)
        expect(await ctx.outsider.holderOf(key)).to.equal(null)
      })
      const working: Promise<string>[] = []

      it('ends the lock of work that exceeds closeTimeout: first its signal aborts, then the lock is released', async () => {
        const locks = await ctx.service({ closeTimeout: 300 })
        const outsider = await ctx.connectOutsider()
        let finish = (): void => undefined
        const end = new Promise<void>((resolve) => (finish = resolve))
        let abortedAt = 0
        let key = ''
        let signal: AbortSignal | undefined
        const work = locks.withLock('report', async (lock) => {
          key = lock.key
          signal = lock.signal
          signal.addEventListener('abort', () => (abortedAt = performance.now()))
          await end
          return 'too late'
        })
        await until('the work to run', () => key)
        const next = outsider.getLock(key, 5).then((got) => ({ got, at: performance.now() }))
        const start = performance.now()
        await settlesWithin(2_300, 'close() while work goes on', locks.close())
        expect(performance.now() - start).to.be.at.least(290)
        const { got, at } = await next
        expect(got).to.equal(true)
        expect(signal?.aborted).to.equal(true)
        expect(abortedAt - start).to.be.at.least(290)
        expect(at, 'the next holder comes after the signal').to.be.at.least(abortedAt)
        finish()
        expect(await reasonOf(work)).to.be.instanceOf(Error)
        expect(await outsider.releaseLock(key), 'the end of the work did not touch the lock of the next').to.equal(true)
      })

      it('leaves another service on the same DataSource alone', async () => {
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({}, dataSource)
        const other = await ctx.service({}, dataSource)
        const mine = await locks.acquire('mine')
        const theirs = await other.acquire('theirs')
        const waiting = other.acquire('mine', { timeout: '5s' })
        await locks.close()
        expect(mine.isHeld).to.equal(false)
        const got = await settlesWithin(2_000, 'the waiter of the other service', waiting)
        expect(theirs.isHeld).to.equal(true)
        expect(await theirs.verify()).to.equal(true)
        expect(theirs.signal.aborted).to.equal(false)
        await rejection(other.acquire('theirs', { timeout: 50 }), NamedLockTimeoutError)
        await Promise.all([theirs.release(), got.release()])
      })

      it('returns the connections to the application with their settings restored', async () => {
        const dataSource = await ctx.dataSource({ poolSize: 4 })
        const locks = await ctx.service({ lease: '5s' }, dataSource)
        await ctx.outsider.getLock(foreign())
        const lock = await locks.acquire('mine')
        await locks.tryAcquire('foreign', { timeout: 100 })
        const own = await locks.acquire('own', { session: 'dedicated' })
        await Promise.all([lock.release(), own.release()])
        await ctx.outsider.releaseLock(foreign())
        await locks.close()
        await ctx.expectNothingBorrowed(dataSource)
        const settings = ctx.sql(
          'SELECT @@wait_timeout = @@global.wait_timeout AS same, CONNECTION_ID() AS id',
          "SELECT (SELECT bool_and(setting = reset_val)::int FROM pg_settings WHERE name ~ 'idle.*session_timeout|^(statement|lock)_timeout') AS same, CONNECTION_ID() AS id",
        )
        const runners = Array.from({ length: 4 }, () => dataSource.createQueryRunner())
        const rows = await Promise.all(runners.map(async (runner) => (await runner.query(settings))[0]))
        for (const row of rows) expect(Number(row.same), `wait_timeout of connection ${row.id}`).to.equal(1)
        await Promise.all(runners.map((runner) => runner.release()))
      })

      it('happens at the end of await using', async () => {
        const dataSource = await ctx.dataSource()
        let key: string
        {
          await using locks = new NamedLockService(dataSource)
          key = (await locks.acquire('mine')).key
        }
        expect(await ctx.outsider.holderOf(key)).to.equal(null)
        await ctx.expectNothingBorrowed(dataSource)
      })
    },
    typeorms,
    'core',
  )
})
