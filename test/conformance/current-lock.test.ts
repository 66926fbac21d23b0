import { expect } from 'chai'
import { NamedLock, NamedLockError, NamedLockLostError } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'

describe('NamedLock.current and assertHeld', () => {
  forEachDialectAndTypeorm((ctx) => {
    const notHeld = (name: string) =>
      expect(() => NamedLock.assertHeld(name))
        .to.throw(NamedLockError)
        .with.property('code', 'NOT_HELD')

    it('return the lock that the running scope holds', async () => {
      const locks = await ctx.service()
      await locks.withLock('outer', async (outer) => {
        expect(NamedLock.current()).to.equal(outer)
        await locks.tryWithLock(['inner', 'too'], async (inner) => {
          await ctx.outsider.query('SELECT 1') // any await
          expect(NamedLock.current()).to.equal(inner)
          expect(NamedLock.current('outer')).to.equal(outer)
          expect(NamedLock.current('too')).to.equal(inner)
          expect(NamedLock.current('none')).to.equal(undefined)
          expect(NamedLock.assertHeld('outer')).to.equal(outer)
          expect(NamedLock.assertHeld('inner')).to.equal(inner)
          notHeld('none')
        })
        expect(NamedLock.current()).to.equal(outer)
        notHeld('inner')
      })
      expect(NamedLock.current()).to.equal(undefined)
      notHeld('outer')
    })

    it('ignore handles, and other scopes', async () => {
      const locks = await ctx.service()
      const handle = await locks.acquire('a')
      expect(NamedLock.current()).to.equal(undefined)
      notHeld('a')
      let leave = (): void => undefined
      const inside = new Promise<void>((resolve) => (leave = resolve))
      const scope = locks.withLock('b', () => inside)
      await until('the scope to hold its lock', () => ctx.outsider.holderOf(`${ctx.database}.b`))
      notHeld('b')
      leave()
      await scope
      await handle.release()
    })

    it('end with the scope, also for a branch that outlives it', async () => {
      const locks = await ctx.service()
      let go = (): void => undefined
      const gate = new Promise<void>((resolve) => (go = resolve))
      let later: Promise<NamedLock | undefined> | undefined
      await locks.withLock('a', () => {
        later = gate.then(() => NamedLock.current('a'))
      })
      go()
      expect(await later).to.equal(undefined)
    })

    it('distinguish a lost lock from a held one', async () => {
      const locks = await ctx.service()
      const work = locks.withLock('a', async (lock) => {
        await ctx.outsider.kill((await ctx.outsider.holderOf(lock.key))!)
        await until('the loss', () => !lock.isHeld)
        expect(() => NamedLock.assertHeld('a')).to.throw(NamedLockLostError)
      })
      await rejection(work, NamedLockLostError)
    })
  })
})
