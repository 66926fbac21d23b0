import { expect } from 'chai'
import { getEventListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { reasonOf } from '../support/rejection.js'
import { until } from '../support/until.js'

describe('abort', () => {
  forEachDialectAndTypeorm((ctx) => {
    const foreign = () => ctx.keyOf('foreign')
    const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

    it('before the call rejects with the reason, before any SQL', async () => {
      const locks = await ctx.service()
      await (await locks.acquire('free')).release()
      const before = await ctx.outsider.counters()
      const again = await ctx.outsider.counters()
      for (const reason of [new Error('mine'), 'a string', Symbol('anything')]) {
        const signal = AbortSignal.abort(reason)
        const work = () => expect.fail('the work ran')
        expect(await reasonOf(locks.acquire('free', { signal }))).to.equal(reason)
        expect(await reasonOf(locks.tryAcquire('free', { signal }))).to.equal(reason)
        expect(await reasonOf(locks.withLock('free', { signal }, work))).to.equal(reason)
        expect(await reasonOf(locks.tryWithLock('free', { signal }, work))).to.equal(reason)
        expect(await reasonOf(locks.acquire(['free', 'too'], { signal }))).to.equal(reason)
      }
      const after = await ctx.outsider.counters()
      expect(after.statements - again.statements).to.equal(again.statements - before.statements)
    })

    it('ends a wait at once, with the reason, for every kind of holder', async () => {
      const locks = await ctx.service()
      const mine = await locks.acquire('mine')
      await ctx.outsider.getLock(foreign())
      await Promise.all(
        ['mine', 'foreign'].map(async (name) => {
          const controller = ctx.abortController()
          const reason = { not: 'an error' }
          const waiting = [
            locks.acquire(name, { signal: controller.signal, timeout: Infinity }),
            locks.withLock(name, { signal: controller.signal }, () => expect.fail('the work ran')),
            locks.tryWithLock(name, { signal: controller.signal, timeout: '10s' }, () => expect.fail('the work ran')),
          ].map(async (call) => ({ reason: await reasonOf(call), at: performance.now() }))
          await until(`a listener, waiting for ${name}`, () => listeners(controller.signal) > 0)
          await sleep(150) // well into a wait on the server
          const start = performance.now()
          controller.abort(reason)
          for (const outcome of await Promise.all(waiting)) {
            expect(outcome.reason).to.equal(reason)
            expect(outcome.at - start, `milliseconds for ${name}`).to.be.lessThan(500)
          }
          expect(listeners(controller.signal)).to.equal(0)
        }),
      )
      await Promise.all([mine.release(), ctx.outsider.releaseLock(foreign())])
      await (await locks.acquire(['mine', 'foreign'], { timeout: '2s' })).release()
    })

    it('takes the caller out of the queue: the next one gets the lock', async () => {
      const locks = await ctx.service()
      const mine = await locks.acquire('mine')
      const controller = ctx.abortController()
      const aborted = reasonOf(locks.acquire('mine', { signal: controller.signal }))
      const next = locks.acquire('mine')
      controller.abort('enough')
      expect(await aborted).to.equal('enough')
      await mine.release()
      await (await next).release()
    })

    it('takes the process out of the queue on the server', async () => {
      const locks = await ctx.service()
      await ctx.outsider.getLock(foreign())
      const controller = ctx.abortController()
      const aborted = reasonOf(locks.acquire('foreign', { signal: controller.signal }))
      await until('a waiter on the server', async () => {
        const waiting = await ctx.outsider.userLocksOf(ctx.database)
        return waiting.some(({ status }) => status === 'PENDING')
      })
      controller.abort('enough')
      expect(await aborted).to.equal('enough')
      const gone = async () => (await ctx.outsider.userLocksOf(ctx.database)).length === 0
      await until('no waiter on the server', gone, { within: 2_000 })
      await ctx.outsider.releaseLock(foreign())
    })

    it('does not affect a held lock, and leaves no listener on the signal', async () => {
      const locks = await ctx.service()
      const controller = ctx.abortController()
      const { signal } = controller
      const lock = await locks.acquire('free', { signal })
      const several = await locks.acquire(['a', 'b'], { signal })
      expect(listeners(signal)).to.equal(0)
      const result = await locks.withLock('other', { signal }, async (inner) => {
        expect(listeners(signal)).to.equal(0)
        controller.abort()
        expect(inner.isHeld).to.equal(true)
        expect(inner.signal.aborted).to.equal(false)
        return inner.verify()
      })
      expect(result).to.equal(true)
      expect(await lock.verify()).to.equal(true)
      await Promise.all([lock.release(), several.release()])
    })

    it('supports one signal for many waits without a warning', async () => {
      const warnings: Error[] = []
      const onWarning = (warning: Error) => warnings.push(warning)
      process.on('warning', onWarning)
      const locks = await ctx.service()
      await ctx.outsider.getLock(foreign())
      const controller = ctx.abortController()
      const waiting = Array.from({ length: 50 }, (_, i) =>
        reasonOf(locks.acquire(i % 2 ? 'foreign' : `foreign`, { signal: controller.signal })),
      )
      await until('a listener', () => listeners(controller.signal) > 0)
      controller.abort('enough')
      expect(new Set(await Promise.all(waiting))).to.deep.equal(new Set(['enough']))
      expect(listeners(controller.signal)).to.equal(0)
      await new Promise((resolve) => setImmediate(resolve)) // warnings come with process.nextTick
      process.off('warning', onWarning)
      expect(warnings).to.deep.equal([])
      await ctx.outsider.releaseLock(foreign())
    })

    it('rejects with the reason of AbortSignal.timeout', async () => {
      const locks = await ctx.service()
      const mine = await locks.acquire('mine')
      const reason = await reasonOf(locks.acquire('mine', { signal: AbortSignal.timeout(100) }))
      expect(reason).to.be.instanceOf(DOMException).with.property('name', 'TimeoutError')
      await mine.release()
    })

    it('loses no lock when it meets the grant', async () => {
      const locks = await ctx.service()
      for (let round = 0; round < 25; round++) {
        await ctx.outsider.getLock(foreign())
        const controller = ctx.abortController()
        const call = locks.acquire('foreign', { signal: controller.signal, timeout: '5s' }).then(
          (lock) => lock.release(),
          (reason: unknown) => expect(reason, `round ${round}`).to.equal('enough'),
        )
        await until('a waiter on the server', async () => {
          const waiting = await ctx.outsider.userLocksOf(ctx.database)
          return waiting.some(({ status }) => status === 'PENDING')
        })
        const released = ctx.outsider.releaseLock(foreign())
        if (round % 3 === 1) await new Promise((resolve) => setImmediate(resolve))
        if (round % 3 === 2) await released
        controller.abort('enough')
        await Promise.all([call, released])
        const free = async () => (await ctx.outsider.holderOf(foreign())) === null
        await until(`the lock is free again, round ${round}`, free, { within: 1_000 })
      }
    })
  })
})
