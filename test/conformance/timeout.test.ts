import { expect } from 'chai'
import { NamedLockTimeoutError, type Duration } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'

/** On an idle machine. The best of a few rounds counts, so that one disturbance is no failure. */
const AT_MOST_LATE = 150
const ROUNDS = 4

describe('timeout', () => {
  forEachDialectAndTypeorm((ctx) => {
    it('ends a wait on time: never early, and not late', async () => {
      const locks = await ctx.service()
      const mine = await locks.acquire('mine')
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      const measure = async (name: string, timeout: number): Promise<number> => {
        const start = performance.now()
        const error = await rejection(locks.acquire(name, { timeout }), NamedLockTimeoutError)
        const late = performance.now() - start - timeout
        expect(late, `lateness of ${timeout} ms for '${name}'`).to.be.at.least(0)
        expect(error.code).to.equal('TIMEOUT')
        expect(error.message).to.include(`'${name}'`)
        return late
      }
      const timeouts = [0, 200, 1400]
      const waits = ['mine', 'foreign'].flatMap((name) => timeouts.map((timeout) => ({ name, timeout })))
      const best = new Map(waits.map((wait) => [wait, Infinity]))
      for (let round = 0; round < ROUNDS; round++) {
        await Promise.all(
          waits.map(async (wait) => {
            if (best.get(wait)! <= AT_MOST_LATE) return
            best.set(wait, Math.min(best.get(wait)!, await measure(wait.name, wait.timeout)))
          }),
        )
      }
      for (const [{ name, timeout }, late] of best) {
        expect(late, `${timeout} ms for '${name}': best of ${ROUNDS}`).to.be.at.most(AT_MOST_LATE)
      }
      await Promise.all([mine.release(), ctx.outsider.releaseLock(foreign)])
    })

    it('is never early, whatever the number', async () => {
      const locks = await ctx.service()
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      const waits = Array.from({ length: 60 }, async (_, i) => {
        const timeout = 150 + i * 3.3
        const start = performance.now()
        await rejection(locks.acquire('foreign', { timeout }), NamedLockTimeoutError)
        expect(performance.now() - start, `waited for ${timeout} ms`).to.be.at.least(timeout)
      })
      await Promise.all(waits)
      await ctx.outsider.releaseLock(foreign)
    })

    it('never expires for Infinity and for times beyond the longest timer', async () => {
      const locks = await ctx.service()
      const mine = await locks.acquire('mine')
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      const forEver: Duration[] = [Infinity, '1000h', 2 ** 31, 2 ** 32 + 50]
      let settled = 0
      const waits = ['mine', 'foreign'].flatMap((name) =>
        forEver.map(async (timeout) => {
          const lock = await locks.acquire(name, { timeout }).finally(() => settled++)
          await lock.release()
        }),
      )
      // Longer than a second, in which MySQL counts, and than what is left of 2^32 + 50.
      await rejection(locks.acquire('foreign', { timeout: 1100 }), NamedLockTimeoutError)
      expect(settled).to.equal(0)
      await Promise.all([mine.release(), ctx.outsider.releaseLock(foreign)])
      await Promise.all(waits)
    })

    it('is that of the service when the call passes none', async () => {
      const locks = await ctx.service({ timeout: '250ms' })
      const lock = await locks.acquire('mine')
      const calls = [
        () => locks.acquire('mine'),
        () => locks.acquire('mine', { timeout: undefined }),
        () => locks.withLock('mine', () => undefined),
        () => locks.withLock('mine', { timeout: '0.25s' }, () => undefined),
        () => locks.withLock('mine', undefined, () => undefined),
      ]
      const times = await Promise.all(
        calls.map(async (call) => {
          const start = performance.now()
          await rejection(call(), NamedLockTimeoutError)
          return performance.now() - start
        }),
      )
      for (const time of times) expect(time).to.be.within(250, 2_000)
      await lock.release()
    })

    it('applies to the try calls if they pass one', async () => {
      const locks = await ctx.service()
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      const start = performance.now()
      const [lock, result] = await Promise.all([
        locks.tryAcquire('foreign', { timeout: 200 }),
        locks.tryWithLock('foreign', { timeout: '200ms' }, () => 'done'),
      ])
      expect(performance.now() - start).to.be.at.least(200)
      expect(lock).to.equal(null)
      expect(result).to.deep.equal({ acquired: false })
      const patient = locks.tryWithLock('foreign', { timeout: '5s' }, () => 'done')
      await ctx.outsider.releaseLock(foreign)
      expect(await patient).to.deep.equal({ acquired: true, value: 'done' })
    })

    it('of one caller does not affect another one that waits for the same lock', async () => {
      const locks = await ctx.service()
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      const impatient = rejection(locks.acquire('foreign', { timeout: 100 }), NamedLockTimeoutError)
      const patient = locks.acquire('foreign', { timeout: '10s' })
      await impatient
      await ctx.outsider.releaseLock(foreign)
      await (await patient).release()
    })

    it('leaves no wait behind on the server', async () => {
      const locks = await ctx.service()
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      await rejection(locks.acquire('foreign', { timeout: 300 }), NamedLockTimeoutError)
      const other = await ctx.connectOutsider()
      const next = other.getLock(foreign, 5)
      await ctx.outsider.releaseLock(foreign)
      expect(await next, 'the next in the queue').to.equal(true)
      await other.releaseLock(foreign)
    })
  })
})
