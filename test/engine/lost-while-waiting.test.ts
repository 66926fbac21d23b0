import { expect } from 'chai'
import { NamedLockLostError, NamedLockTimeoutError, type NamedLockService } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

/*
 * A caller of several names has no work under way before it has all of them. A connection that dies meanwhile costs it time, and nothing else.
 */
describe('a lock that is lost while the call waits for another', () => {
  forEachDialect((ctx) => {
    const ways: Record<string, (locks: NamedLockService, timeout: number, work: () => string) => Promise<unknown>> = {
      withLock: (locks, timeout, work) => locks.withLock(['a', 'b'], { timeout }, work),
      acquire: async (locks, timeout, work) => {
        await using _lock = await locks.acquire(['a', 'b'], { timeout })
        return work()
      },
      'tryWithLock with a timeout': async (locks, timeout, work) =>
        (await locks.tryWithLock(['a', 'b'], { timeout }, work)).value,
      dedicated: (locks, timeout, work) => locks.withLock(['a', 'b'], { timeout, session: 'dedicated' }, work),
      transaction: (locks, timeout, work) => locks.transaction(['a', 'b'], { timeout }, work),
    }
    // The names are taken in the order of their keys.
    const [first, second] = ['a', 'b'].sort((x, y) => (ctx.keyOf(x) < ctx.keyOf(y) ? -1 : 1)) as [string, string]

    for (const [name, call] of Object.entries(ways)) {
      it(`is taken again: ${name}, killed more than once`, async function () {
        this.timeout(60_000)
        const locks = await ctx.service()
        const stranger = await ctx.connectOutsider()
        await stranger.getLock(ctx.keyOf(second))
        const running = call(locks, 30_000, () => 'done')
        const ids = new Set<string>()
        for (let kills = 0; kills < 3; kills++) {
          const id = await until('it holds the first lock again', async () => {
            const holder = await ctx.outsider.holderOf(ctx.keyOf(first))
            return holder !== null && !ids.has(holder) ? holder : undefined
          })
          ids.add(id)
          await ctx.outsider.kill(id)
          // On the shared session the loss is looked at when the other lock comes.
          if (name !== 'dedicated' && name !== 'transaction') break
        }
        await stranger.releaseLock(ctx.keyOf(second))
        expect(await settlesWithin(20_000, 'the call', running)).to.equal('done')
        expect(await ctx.outsider.holderOf(ctx.keyOf(first))).to.equal(null)
        expect(await ctx.outsider.holderOf(ctx.keyOf(second))).to.equal(null)
      })
    }

    it('is a timeout when another holder has it then', async function () {
      this.timeout(60_000)
      const locks = await ctx.service()
      const stranger = await ctx.connectOutsider()
      await stranger.getLock(ctx.keyOf(second))
      const running = rejection(
        locks.transaction(['a', 'b'], { timeout: 2_500 }, () => {}),
        NamedLockTimeoutError,
      )
      const id = await until('it holds the first lock', () => ctx.outsider.holderOf(ctx.keyOf(first)))
      const thief = await ctx.connectOutsider()
      const stealing = thief.getLock(ctx.keyOf(first), 5)
      await ctx.outsider.kill(id)
      expect(await stealing).to.equal(true)
      await stranger.releaseLock(ctx.keyOf(second))
      await running
      await thief.releaseLock(ctx.keyOf(first))
    })

    it('is still lost when the scope around the call holds it', async function () {
      this.timeout(60_000)
      const locks = await ctx.service()
      const stranger = await ctx.connectOutsider()
      await stranger.getLock(ctx.keyOf('c'))
      const error = await rejection(
        locks.withLock('a', async (lock) => {
          const id = await ctx.outsider.holderOf(ctx.keyOf('a'))
          const inner = locks.withLock(['a', 'c'], { reentrant: true, timeout: 20_000 }, () => {})
          await until('it waits', async () => (await locks.list({ waiting: true })).length > 0).catch(() => {})
          await ctx.outsider.kill(id as string)
          await until('the loss is known', () => !lock.isHeld)
          await stranger.releaseLock(ctx.keyOf('c'))
          await inner
        }),
      )
      expect(error).to.be.instanceOf(NamedLockLostError)
    })
  })
})
