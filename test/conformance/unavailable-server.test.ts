import { expect } from 'chai'
import { NamedLockError, NamedLockLostError } from '../../src/index.js'
import { typeorms } from '../support/typeorms.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

describe('an unreachable server', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      const refused = (error: Error) => {
        expect(error.cause, error.message).to.be.instanceOf(Error)
        expect((error.cause as { code?: string }).code, error.message).to.match(
          /^(ECONN|PROTOCOL_CONNECTION_LOST|EPIPE)/,
        )
      }

      it('causes an error that names the reason, at once, if the DataSource is not initialised', async () => {
        const dataSource = ctx.rawDataSource()
        const locks = await ctx.service({}, dataSource)
        const calls = [
          () => locks.acquire('a'),
          () => locks.tryAcquire('a'),
          () => locks.withLock('a', () => expect.fail('the work ran')),
          () => locks.tryWithLock('a', () => expect.fail('the work ran')),
          () => locks.acquire('a', { session: 'dedicated', timeout: Infinity }),
        ]
        for (const call of calls) {
          const error = await settlesWithin(1_000, call.toString(), rejection(call(), NamedLockError))
          expect(error.message, call.toString()).to.match(/initiali[sz]e/i)
        }
        await dataSource.initialize()
        expect(await locks.withLock('a', () => 'done')).to.equal('done')
      })

      it('is reported with the original error as the cause, as soon as it is known', async () => {
        const proxy = await ctx.proxy()
        const dataSource = await ctx.dataSource({ port: proxy.port })
        const locks = await ctx.service({ timeout: '3s' }, dataSource)
        await proxy.shut()
        const start = performance.now()
        const calls = [
          () => locks.acquire('a'),
          () => locks.tryAcquire('a'),
          () => locks.withLock('a', () => expect.fail('the work ran')),
          () => locks.acquire('a', { session: 'dedicated' }),
        ]
        for (const call of calls) refused(await rejection(call(), NamedLockError))
        expect(performance.now() - start).to.be.lessThan(2_500)
        await proxy.open()
        expect(await locks.withLock('a', () => 'done')).to.equal('done')
      })

      it('loses the held locks, and the service works when the server is back', async () => {
        const proxy = await ctx.proxy()
        const dataSource = await ctx.dataSource({ port: proxy.port })
        const locks = await ctx.service({}, dataSource)
        const lock = await locks.acquire('a')
        const own = await locks.acquire('own', { session: 'dedicated' })
        await proxy.shut()
        await until('the loss', () => lock.signal.aborted && own.signal.aborted, { within: 2_000 })
        expect(lock.signal.reason).to.be.instanceOf(NamedLockLostError)
        await Promise.all([lock.release(), own.release()])
        refused(await settlesWithin(2_000, 'acquire', rejection(locks.acquire('a', { timeout: '3s' }), NamedLockError)))
        await proxy.open()
        expect(await locks.withLock(['a', 'own'], { timeout: '5s' }, (again) => again.verify())).to.equal(true)
      })

      it('does not end pending waits, if it comes back in time', async () => {
        const proxy = await ctx.proxy()
        const dataSource = await ctx.dataSource({ port: proxy.port })
        const locks = await ctx.service({}, dataSource)
        const foreign = ctx.keyOf('foreign')
        await ctx.outsider.getLock(foreign)
        const waiting = locks.acquire('foreign', { timeout: '15s' })
        await until('a waiter on the server', async () => {
          const onServer = await ctx.outsider.userLocksOf(ctx.database)
          return onServer.some(({ status }) => status === 'PENDING')
        })
        await proxy.shut()
        await proxy.open()
        await ctx.outsider.releaseLock(foreign)
        const lock = await settlesWithin(8_000, 'the waiter', waiting)
        expect(await lock.verify()).to.equal(true)
        await lock.release()
      })

      it('is reachable again after a destroyed DataSource is initialised', async () => {
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({}, dataSource)
        for (let round = 0; round < 3; round++) {
          expect(await locks.withLock('a', (lock) => lock.verify()), `round ${round}`).to.equal(true)
          const lock = await locks.acquire('held')
          const own = await locks.acquire('own', { session: 'dedicated' })
          await dataSource.destroy()
          await until('the loss', () => !lock.isHeld && !own.isHeld, { within: 500 })
          const error = await settlesWithin(1_000, 'acquire', rejection(locks.acquire('a'), NamedLockError))
          expect(error.message).to.match(/initiali[sz]e/i)
          await Promise.all([lock.release(), own.release()])
          await dataSource.initialize()
        }
        expect(await locks.withLock('a', () => 'done')).to.equal('done')
      })
    },
    typeorms,
    'core',
  )
})
