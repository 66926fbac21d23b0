import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockReentrancyError, NamedLockTimeoutError, type NamedLockService } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin } from '../support/until.js'

describe('re-entrance', () => {
  forEachDialectAndTypeorm((ctx) => {
    const never = () => expect.fail('the work ran')

    it('is an error at once, for every kind of call', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({ timeout: Infinity }, dataSource)
      const other = await ctx.service({ timeout: Infinity }, dataSource)
      await locks.withLock(['a', 'b'], async () => {
        await sleep(1) // the scope survives any await
        const start = performance.now()
        for (const service of [locks, other]) {
          const calls = {
            withLock: () => service.withLock('a', never),
            tryWithLock: () => service.tryWithLock('b', never),
            acquire: () => service.acquire('a'),
            tryAcquire: () => service.tryAcquire('b'),
            'acquire of several': () => service.acquire(['x', 'a']),
            'withLock of several': () => service.withLock(['b', 'a'], never),
            'acquire on a connection of its own': () => service.acquire('a', { session: 'dedicated' }),
          }
          for (const [what, call] of Object.entries(calls)) {
            const error = await settlesWithin(2_000, what, rejection(call(), NamedLockReentrancyError))
            expect(error.code).to.equal('REENTRANCY')
            expect(error.message, what)
              .to.match(/'[ab]'/)
              .and.match(/reentrant/)
          }
        }
        expect(performance.now() - start).to.be.lessThan(500)
        expect(await ctx.outsider.holderOf(`${ctx.database}.x`)).to.equal(null)
        expect(await ctx.outsider.holderOf(`${ctx.database}.a`)).not.to.equal(null)
      })
    })

    it('is detected through any depth of other locks', async () => {
      const locks = await ctx.service()
      await locks.withLock('a', () =>
        locks.withLock('b', () =>
          locks.tryWithLock('c', async () => {
            await rejection(locks.acquire('a'), NamedLockReentrancyError)
            await rejection(locks.acquire('b'), NamedLockReentrancyError)
          }),
        ),
      )
    })

    it('is counted with reentrant: true, and the outermost end releases', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      const other = await ctx.service({}, dataSource)
      const key = ctx.keyOf('a')
      const reentrant = { reentrant: true } as const
      const free = () => ctx.outsider.holderOf(key).then((holder) => holder === null)
      await locks.withLock('a', async () => {
        expect(await locks.withLock('a', reentrant, (lock) => lock.verify())).to.equal(true)
        expect(await free(), 'after withLock').to.equal(false)
        expect(await other.tryWithLock('a', reentrant, () => 1)).to.deep.equal({ acquired: true, value: 1 })
        expect(await free(), 'after tryWithLock').to.equal(false)
        await locks.withLock('a', reentrant, () => locks.withLock('a', reentrant, () => undefined))
        expect(await free(), 'after two levels').to.equal(false)
        for (const handle of [await locks.acquire('a', reentrant), await other.tryAcquire('a', reentrant)]) {
          expect(handle?.isHeld).to.equal(true)
          await handle?.release()
          await handle?.release()
          expect(handle?.isHeld).to.equal(false)
          expect(await free(), 'after a handle').to.equal(false)
        }
        const failing = locks.withLock('a', reentrant, () => Promise.reject(new TypeError('mine')))
        await rejection(failing, TypeError)
        expect(await free(), 'after work that failed').to.equal(false)
      })
      expect(await free()).to.equal(true)
    })

    it('is counted for several names, of which some are new', async () => {
      const locks = await ctx.service()
      const key = (name: string) => ctx.keyOf(name)
      await locks.withLock('b', async () => {
        await locks.withLock(['a', 'b', 'c'], { reentrant: true }, async (lock) => {
          expect(lock.names).to.deep.equal(['a', 'b', 'c'])
          for (const name of lock.names) expect(await ctx.outsider.holderOf(key(name)), name).not.to.equal(null)
        })
        expect(await ctx.outsider.holderOf(key('a'))).to.equal(null)
        expect(await ctx.outsider.holderOf(key('b'))).not.to.equal(null)
        expect(await ctx.outsider.holderOf(key('c'))).to.equal(null)
      })
      expect(await ctx.outsider.holderOf(key('b'))).to.equal(null)
    })

    it('waits if no enclosing scope holds the lock', async () => {
      const locks = await ctx.service()
      const handle = await locks.acquire('a')
      expect(await locks.tryAcquire('a', { reentrant: true })).to.equal(null)
      await rejection(locks.acquire('a', { timeout: 50 }), NamedLockTimeoutError)
      await handle.release()
    })

    async function mostInside(locks: NamedLockService, name: string): Promise<number> {
      let inside = 0
      let most = 0
      const branch = () =>
        locks.withLock(name, async () => {
          most = Math.max(most, ++inside)
          await sleep(5)
          inside--
        })
      await Promise.all([branch(), branch(), branch(), branch()])
      return most
    }

    it('does not apply to parallel branches: they exclude each other', async () => {
      const locks = await ctx.service()
      expect(await mostInside(locks, 'a'), 'without a scope').to.equal(1)
      expect(await locks.withLock('outer', () => mostInside(locks, 'a')), 'in the scope of another lock').to.equal(1)
    })

    it('lets branches inside of the holding scope share the lock', async () => {
      const locks = await ctx.service()
      await locks.withLock('a', async () => {
        let arrived = 0
        let bothIn = (): void => undefined
        const both = new Promise<void>((resolve) => (bothIn = resolve))
        const branch = () =>
          locks.withLock('a', { reentrant: true }, async () => {
            if (++arrived === 2) bothIn()
            await settlesWithin(2_000, 'the other branch inside', both)
          })
        await Promise.all([branch(), branch()])
        expect(await ctx.outsider.holderOf(`${ctx.database}.a`)).not.to.equal(null)
      })
    })

    it('ends with the scope: a branch that outlives it waits like any other caller', async () => {
      const locks = await ctx.service()
      let go = (): void => undefined
      const gate = new Promise<void>((resolve) => (go = resolve))
      let detached: Promise<boolean> | undefined
      await locks.withLock('a', () => {
        detached = gate.then(() => locks.withLock('a', { timeout: '2s' }, (lock) => lock.verify()))
      })
      go()
      expect(await detached).to.equal(true)
    })

    it('applies to one DataSource: another one excludes', async () => {
      const locks = await ctx.service()
      const other = await ctx.service()
      await locks.withLock('a', async () => {
        await rejection(other.acquire('a', { timeout: 150, reentrant: true }), NamedLockTimeoutError)
      })
    })

    it('applies to the lock, not the name: another namespace is another lock', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      const other = await ctx.service({ namespace: `${ctx.database}_other` }, dataSource)
      const result = await locks.withLock('a', () => other.withLock('a', { timeout: '2s' }, () => 'two locks'))
      expect(result).to.equal('two locks')
    })
  })
})
