import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import { NamedLockLostError } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { until } from '../support/until.js'

/**
 * The manager of a dedicated lock exists as long as the work: after the lock it throws an explanation, and is never
 * undefined.
 */
describe('the manager of a dedicated lock that is gone', () => {
  forEachDialect((ctx) => {
    for (const isRead of [false, true]) {
      const when = isRead ? 'read before' : 'read for the first time'

      it(`refuses statements after a loss, ${when}`, async () => {
        const locks = await ctx.service()
        let refused: unknown
        const outcome = await locks
          .withLock('a', { session: 'dedicated' }, async (lock) => {
            if (isRead) await lock.manager.query('SELECT 1')
            await ctx.outsider.kill((await ctx.outsider.holderOf(ctx.keyOf('a'))) as string)
            await until('the loss is known', () => !lock.isHeld)
            const manager = lock.manager as EntityManager | undefined
            expect(manager).to.not.equal(undefined)
            refused = await lock.manager.query('SELECT 1').catch((error: unknown) => error)
          })
          .catch((error: unknown) => error)
        expect(outcome).to.be.instanceOf(NamedLockLostError)
        expect(refused).to.be.instanceOf(Error).and.not.instanceOf(TypeError)
      })

      it(`refuses statements after the release, ${when}`, async () => {
        const locks = await ctx.service()
        const lock = await locks.acquire('a', { session: 'dedicated' })
        if (isRead) await lock.manager.query('SELECT 1')
        await lock.release()
        const refused = await lock.manager.query('SELECT 1').catch((error: unknown) => error)
        expect(refused).to.be.instanceOf(Error).and.not.instanceOf(TypeError)
      })

      it(`refuses statements after close(), ${when}`, async () => {
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({}, dataSource)
        const lock = await locks.acquire('a', { session: 'dedicated' })
        if (isRead) await lock.manager.query('SELECT 1')
        await locks.close()
        const refused = await lock.manager.query('SELECT 1').catch((error: unknown) => error)
        expect(refused).to.be.instanceOf(Error).and.not.instanceOf(TypeError)
      })
    }
  })
})
