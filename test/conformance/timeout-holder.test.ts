import { expect } from 'chai'
import { NamedLockTimeoutError } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'

describe('NamedLockTimeoutError.holder', () => {
  forEachDialectAndTypeorm((ctx) => {
    /**
     * A caller that has timed out waits only briefly for the lookup of the holder: on a busy machine one of a few
     * attempts must succeed.
     */
    async function told(call: () => Promise<unknown>): Promise<NamedLockTimeoutError> {
      let error = await rejection(call(), NamedLockTimeoutError)
      for (let i = 0; i < 3 && !error.holder; i++) error = await rejection(call(), NamedLockTimeoutError)
      return error
    }

    it('is the connection outside this process that holds the lock', async () => {
      const locks = await ctx.service()
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      for (const timeout of [0, 100]) {
        const error = await told(() => locks.acquire('foreign', { timeout }))
        expect(error.holder?.connectionId, `timeout ${timeout}`).to.equal(ctx.outsider.id)
        expect(error.holder?.user, `timeout ${timeout}`).to.equal(ctx.server.username)
        expect(error.message).to.include(`connection ${ctx.outsider.id}`)
      }
      const work = () => locks.withLock(['free', 'foreign'], { timeout: 100 }, () => expect.fail('the work ran'))
      expect((await told(work)).holder?.connectionId).to.equal(ctx.outsider.id)
      await ctx.outsider.releaseLock(foreign)
    })

    it('is the connection of this process that holds the lock', async () => {
      const locks = await ctx.service()
      for (const session of ['shared', 'dedicated'] as const) {
        const lock = await locks.acquire('mine', { session })
        const error = await rejection(locks.acquire('mine', { timeout: 100 }), NamedLockTimeoutError)
        expect(error.holder?.connectionId, session).to.equal(await ctx.outsider.holderOf(lock.key))
        await lock.release()
      }
    })

    it('is the holder at the end of the wait, not at its beginning', async () => {
      const locks = await ctx.service()
      const foreign = ctx.keyOf('foreign')
      const second = await ctx.connectOutsider()
      await ctx.outsider.getLock(foreign)
      const queued = second.getLock(foreign, 5)
      const waiting = rejection(locks.acquire('foreign', { timeout: 800 }), NamedLockTimeoutError)
      await ctx.outsider.query('SELECT SLEEP(0.2)')
      await ctx.outsider.releaseLock(foreign)
      expect(await queued).to.equal(true)
      expect((await waiting).holder?.connectionId).to.equal(second.id)
      await second.releaseLock(foreign)
    })
  })
})
