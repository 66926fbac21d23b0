import { expect } from 'chai'
import { NamedLockError } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { expectNoConnections } from '../support/leaks.js'
import { rejection } from '../support/rejection.js'
import { typeorms, connectionsIn } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'

describe('nothing is left behind', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      const foreign = () => ctx.keyOf('foreign')

      it('in a process: it exits after destroy(), with and without close()', async function () {
        this.timeout(60_000)
        const children = [true, false].map((close) =>
          ctx.startChild('use-and-leave.ts', { name: `close-${close}`, close }),
        )
        await Promise.all(
          children.map(async (child) => {
            const { resources } = await child.next('destroyed')
            const exit = settlesWithin(3_000, `the end of a process that still has ${String(resources)}`, child.exited)
            expect((await exit).code).to.equal(0)
          }),
        )
        await expectNoConnections(ctx.outsider, ctx.database)
      })

      it('on the server after close() and destroy()', async () => {
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({}, dataSource)
        const lock = await locks.acquire('mine')
        await ctx.outsider.getLock(foreign())
        const waiting = rejection(locks.acquire('foreign'), NamedLockError)
        await locks.close()
        await waiting
        await settlesWithin(2_000, 'destroy()', dataSource.destroy())
        await expectNoConnections(ctx.outsider, ctx.database)
        expect(await ctx.outsider.holderOf(lock.key)).to.equal(null)
        await ctx.outsider.releaseLock(foreign())
      })

      it('on the server after destroy() alone, and waits do not delay it', async () => {
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({}, dataSource)
        const lock = await locks.acquire('mine')
        const own = await locks.acquire('own', { session: 'dedicated' })
        const signal = lock.signal
        await ctx.outsider.getLock(foreign())
        const waiting = rejection(locks.acquire('foreign', { timeout: '1h' }), NamedLockError)
        await until('a waiter on the server', async () => {
          const onServer = await ctx.outsider.userLocksOf(ctx.database)
          return onServer.some(({ status }) => status === 'PENDING')
        })
        await settlesWithin(2_000, 'destroy()', dataSource.destroy())
        await settlesWithin(2_000, 'the waiter', waiting)
        await until('the loss', () => signal.aborted && !lock.isHeld && !own.isHeld, { within: 500 })
        await Promise.all([lock.release(), own.release()])
        await expectNoConnections(ctx.outsider, ctx.database)
        await ctx.outsider.releaseLock(foreign())
      })

      it('of own connections', async () => {
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({ connections: 'own' }, dataSource)
        const lock = await locks.acquire('mine')
        const holder = await ctx.outsider.holderOf(lock.key)
        expect(connectionsIn(dataSource).map(({ threadId }) => String(threadId))).not.to.include(holder)
        await lock.release()
        await locks.close()
        await dataSource.destroy()
        await expectNoConnections(ctx.outsider, ctx.database)
      })

      it('of own connections after destroy() alone', async () => {
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({ connections: 'own' }, dataSource)
        const lock = await locks.acquire('mine')
        const error = rejection(locks.acquire('mine'), NamedLockError)
        await settlesWithin(2_000, 'destroy()', dataSource.destroy())
        await settlesWithin(2_000, 'the waiter', error)
        await until('the loss', () => !lock.isHeld, { within: 500 })
        await expectNoConnections(ctx.outsider, ctx.database)
      })

      it('of listeners, on the process and on the connections of the pool', async () => {
        const events = ['exit', 'beforeExit', 'SIGINT', 'SIGTERM', 'warning', 'unhandledRejection', 'uncaughtException']
        const onProcess = () => events.map((event) => `${event}: ${process.listenerCount(event)}`)
        const before = onProcess()
        const dataSource = await ctx.dataSource({ poolSize: 2 })
        const onConnections = () =>
          connectionsIn(dataSource).map((connection) => [
            connection.threadId,
            ...['end', 'error'].map((event) => connection.listenerCount(event)),
          ])
        const use = async () => {
          const locks = await ctx.service({}, dataSource)
          await locks.withLock('mine', (lock) => lock.verify())
          await locks.withLock('own', { session: 'dedicated' }, (lock) => lock.verify())
          await locks.close()
          await ctx.expectNothingBorrowed(dataSource)
        }
        await use()
        const once = onConnections()
        for (let i = 0; i < 5; i++) await use()
        expect(onConnections()).to.deep.equal(once)
        expect(onProcess()).to.deep.equal(before)
      })

      it('of a thousand waits', async () => {
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({}, dataSource)
        const controller = ctx.abortController()
        const holder = await locks.acquire('mine')
        const waits = Array.from({ length: 1000 }, () =>
          rejection(locks.acquire('mine', { timeout: 200, signal: controller.signal }), NamedLockError),
        )
        await Promise.all(waits)
        await holder.release()
        expect(await ctx.outsider.connectionsOf(ctx.database)).to.have.length.of.at.most(5)
        // Timers, listeners, locks and connections are checked after the test.
      })
    },
    typeorms,
    'core',
  )
})
