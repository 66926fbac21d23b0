import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockTimeoutError } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { settlesWithin } from '../support/until.js'

describe('several names', () => {
  forEachDialectAndTypeorm((ctx) => {
    const keyOf = (name: string) => ctx.keyOf(name)

    async function held(...names: string[]): Promise<string[]> {
      const holders = await Promise.all(names.map((name) => ctx.outsider.holderOf(keyOf(name))))
      return names.filter((_, i) => holders[i] !== null && holders[i] !== ctx.outsider.id)
    }

    it('are all held, and all released', async () => {
      const locks = await ctx.service()
      const lock = await locks.acquire(['c', 'a', 'b'])
      expect(lock.names).to.deep.equal(['c', 'a', 'b'])
      expect(lock.name).to.equal('c, a, b')
      expect(lock.keys).to.deep.equal(['c', 'a', 'b'].map(keyOf))
      expect(lock.key).to.equal(lock.keys.join(', '))
      for (const key of lock.keys) expect(await ctx.outsider.getLock(key), key).to.equal(false)
      expect(await lock.verify()).to.equal(true)
      await lock.release()
      expect(await held('a', 'b', 'c')).to.deep.equal([])
    })

    it('work with every call', async () => {
      const locks = await ctx.service()
      const names = ['a', 'b'] as const
      const work = () => held('a', 'b', 'c')
      expect(await locks.withLock(names, work)).to.deep.equal(['a', 'b'])
      expect(await locks.tryWithLock(names, work)).to.deep.equal({ acquired: true, value: ['a', 'b'] })
      const lock = await locks.tryAcquire(names)
      expect(await held('a', 'b', 'c')).to.deep.equal(['a', 'b'])
      await lock?.release()
    })

    it('are one name when there is one', async () => {
      const locks = await ctx.service()
      const lock = await locks.acquire(['a'])
      expect(lock.name).to.equal('a')
      expect(await locks.tryAcquire('a')).to.equal(null)
      await lock.release()
    })

    it('may contain a name twice', async () => {
      const locks = await ctx.service()
      const lock = await settlesWithin(2_000, 'acquire a, b, a', locks.acquire(['a', 'b', 'a']))
      expect(await held('a', 'b')).to.deep.equal(['a', 'b'])
      await lock.release()
      expect(await held('a', 'b')).to.deep.equal([])
    })

    it('are all or none: a try that finds one of them held leaves the others free', async () => {
      const locks = await ctx.service()
      const mine = await locks.acquire('mine')
      await ctx.outsider.getLock(keyOf('foreign'))
      for (const busy of ['mine', 'foreign']) {
        for (const names of [
          [busy, 'x', 'y'],
          ['x', busy, 'y'],
          ['x', 'y', busy],
        ]) {
          expect(await locks.tryAcquire(names), names.join()).to.equal(null)
          expect(await held('mine', 'foreign', 'x', 'y'), names.join()).to.deep.equal(['mine'])
        }
      }
      await Promise.all([mine.release(), ctx.outsider.releaseLock(keyOf('foreign'))])
    })

    it('are all or none: a wait that ends leaves nothing, whatever ended it', async () => {
      const locks = await ctx.service()
      const mine = await locks.acquire('mine')
      await ctx.outsider.getLock(keyOf('foreign'))
      const controller = ctx.abortController()
      const reason = new Error('enough')
      const waits = ['mine', 'foreign'].flatMap((busy) => [
        rejection(locks.acquire(['a', busy, 'z'], { timeout: 300 }), NamedLockTimeoutError),
        reasonOf(locks.acquire(['a', busy, 'z'], { signal: controller.signal })),
      ])
      await sleep(100) // any moment within the waits
      controller.abort(reason)
      const [, first, , second] = await Promise.all(waits)
      expect(first).to.equal(reason)
      expect(second).to.equal(reason)
      expect(await held('a', 'mine', 'foreign', 'z')).to.deep.equal(['mine'])
      await Promise.all([mine.release(), ctx.outsider.releaseLock(keyOf('foreign'))])
      await (await locks.acquire(['a', 'mine', 'foreign', 'z'], { timeout: '2s' })).release()
    })

    it('are waited for until the last one is free', async () => {
      const locks = await ctx.service()
      const mine = await locks.acquire('mine')
      await ctx.outsider.getLock(keyOf('foreign'))
      let settled = false
      const waiting = locks.acquire(['foreign', 'mine'], { timeout: '5s' }).finally(() => (settled = true))
      await ctx.outsider.releaseLock(keyOf('foreign'))
      // Depends on the lock that is still held: another caller's wait for it ends first.
      await rejection(locks.acquire('mine', { timeout: 300 }), NamedLockTimeoutError)
      expect(settled).to.equal(false)
      await mine.release()
      const lock = await waiting
      expect(await held('foreign', 'mine')).to.deep.equal(['foreign', 'mine'])
      await lock.release()
    })

    it('do not deadlock callers that name them in different orders', async () => {
      const services = await Promise.all([ctx.service(), ctx.service()])
      const names = ['a', 'b', 'c', 'd']
      const inside = new Map<string, number>()
      let finished = 0
      const callers = Array.from({ length: 60 }, async (_, i) => {
        const start = i % names.length
        const wanted = [...names.slice(start), ...names.slice(0, start)].slice(0, 2 + (i % 3))
        if (i % 2) wanted.reverse()
        await services[i % services.length]!.withLock(wanted, { timeout: '10s' }, async () => {
          for (const name of wanted) {
            expect(inside.get(name), `callers inside '${name}'`).to.be.oneOf([undefined, 0])
            inside.set(name, 1)
          }
          await sleep(2)
          for (const name of wanted) inside.set(name, 0)
        })
        finished++
      })
      await settlesWithin(12_000, 'callers in different orders', Promise.all(callers))
      expect(finished).to.equal(60)
    })
  })
})
