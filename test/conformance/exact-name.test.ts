import { expect } from 'chai'
import { InvalidLockNameError } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin } from '../support/until.js'

describe('exactName', () => {
  forEachDialectAndTypeorm((ctx) => {
    const exact = { exactName: true } as const

    beforeEach(() => ctx.notOnPostgres('exact names are numbers, see exact-key.test.ts'))

    it('shares a lock with SQL from outside', async () => {
      const locks = await ctx.service()
      for (const name of ['nightly', 'Nightly Job', "o'clock", 'back\\slash', '12345', ' padded ', 'é', '%_', '`"']) {
        const lock = await locks.acquire(name, exact)
        expect(lock.key, name).to.equal(name)
        expect(await ctx.outsider.getLock(name), name).to.equal(false)
        expect(await locks.isLocked(name, exact), name).to.equal(true)
        expect((await locks.holder(name, exact))?.connectionId, name).to.equal(await ctx.outsider.holderOf(name))
        await lock.release()
        expect(await ctx.outsider.getLock(name), name).to.equal(true)
        expect(await locks.tryAcquire(name, exact), name).to.equal(null)
        expect((await locks.holder(name, exact))?.connectionId, name).to.equal(ctx.outsider.id)
        await ctx.outsider.releaseLock(name)
      }
    })

    it('waits for SQL from outside', async () => {
      const locks = await ctx.service()
      await ctx.outsider.getLock('Nightly')
      const waiting = locks.acquire('Nightly', exact)
      await ctx.outsider.releaseLock('Nightly')
      await (await settlesWithin(2_000, 'the waiter', waiting)).release()
    })

    it('is another lock than the name without it', async () => {
      const locks = await ctx.service()
      const plain = await locks.acquire('nightly')
      const untouched = await locks.acquire('nightly', { ...exact, timeout: 0 })
      expect(plain.key).not.to.equal(untouched.key)
      expect(await locks.tryAcquire('nightly', exact)).to.equal(null)
      await Promise.all([plain.release(), untouched.release()])
    })

    it('reaches a key that was computed from a name', async () => {
      const locks = await ctx.service()
      const plain = await locks.acquire('nightly')
      expect(await locks.tryAcquire(plain.key, exact)).to.equal(null)
      await plain.release()
    })

    it('rejects names that the server would reject, and accepts the longest valid one', async () => {
      const locks = await ctx.service()
      const longest =
        ctx.kind === 'mysql' ? ['x'.repeat(64), 'é'.repeat(64)] : ['x'.repeat(192), 'é'.repeat(96), '🔒'.repeat(48)]
      const tooMuch = ctx.kind === 'mysql' ? ['x'.repeat(65), '🔒'] : ['x'.repeat(193), 'é'.repeat(97), '🔒'.repeat(49)]
      for (const name of longest) {
        const lock = await locks.acquire(name, exact)
        expect(await ctx.outsider.holderOf(name), name).not.to.equal(null)
        await lock.release()
      }
      for (const name of [...tooMuch, '', '\ud800']) {
        const error = await rejection(locks.acquire(name, exact), InvalidLockNameError)
        expect(error.code).to.equal('INVALID_NAME')
      }
      await rejection(locks.acquire(42n, exact), InvalidLockNameError)
    })

    it('excludes names that the server treats as one', async () => {
      const locks = await ctx.service()
      for (const [one, two] of [
        ['Job', 'JOB'],
        ['\u00e9t\u00e9', '\u00c9T\u00c9'],
        ['k', '\u212a'],
        ['i', '\u0130'],
      ] as const) {
        // The server itself decides, on two connections without the library.
        const [first, second] = await Promise.all([ctx.connectOutsider(), ctx.connectOutsider()])
        await first.getLock(one)
        const sameOnServer = !(await second.getLock(two))
        await Promise.all([first.releaseLock(one), second.releaseLock(two)])
        expect(sameOnServer, `${one} and ${two} on ${ctx.kind}`).to.equal(ctx.kind === 'mysql')

        const lock = await locks.acquire(one, exact)
        const other = await locks.tryAcquire(two, exact)
        if (sameOnServer) expect(other, `${one} and ${two}`).to.equal(null)
        await other?.release()
        await lock.release()
        expect(await ctx.outsider.holderOf(one), one).to.equal(null)
      }
    })

    it('distinguishes upper and lower case if the server does', async function () {
      if (ctx.kind === 'mysql') this.skip()
      const locks = await ctx.service()
      const one = await locks.acquire('Job', exact)
      const two = await locks.acquire('JOB', { ...exact, timeout: 0 })
      await Promise.all([one.release(), two.release()])
    })
  })
})
