import { expect } from 'chai'
import fc from 'fast-check'
import { NamedLock } from '../../src/index.js'
import { typeorms } from '../support/typeorms.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'

describe('acquire and release', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      it('holds the lock on the server from acquire to release', async () => {
        const locks = await ctx.service()
        const lock = await locks.acquire('report')
        expect(lock).to.be.instanceOf(NamedLock)
        expect(lock.isHeld).to.equal(true)
        expect(await lock.verify()).to.equal(true)
        expect(await ctx.outsider.getLock(lock.key)).to.equal(false)
        await lock.release()
        expect(lock.isHeld).to.equal(false)
        expect(await lock.verify()).to.equal(false)
        expect(await ctx.outsider.holderOf(lock.key)).to.equal(null)
      })

      it('can be acquired repeatedly', async () => {
        const locks = await ctx.service()
        for (let i = 0; i < 20; i++) {
          const lock = await locks.acquire('report')
          expect(await ctx.outsider.holderOf(lock.key), `round ${i}`).not.to.equal(null)
          await lock.release()
          expect(await ctx.outsider.holderOf(lock.key), `round ${i}`).to.equal(null)
        }
      })

      it('has its name and its key on the server', async () => {
        const locks = await ctx.service()
        const lock = await locks.acquire('report:42')
        expect(lock.name).to.equal('report:42')
        expect(lock.names).to.deep.equal(['report:42'])
        expect(lock.key).to.equal(ctx.keyOf('report:42'))
        expect(lock.keys).to.deep.equal([lock.key])
        expect(lock.manager).to.equal(undefined)
        await lock.release()
      })

      it('is held by a connection of this DataSource', async () => {
        const locks = await ctx.service()
        const lock = await locks.acquire('report')
        const holder = await ctx.outsider.holderOf(lock.key)
        const own = (await ctx.outsider.connectionsOf(ctx.database)).map(({ id }) => id)
        expect(own).to.include(holder)
        expect((await locks.holder('report'))?.connectionId).to.equal(holder)
        expect(await locks.isLocked('report')).to.equal(true)
        await lock.release()
        expect(await locks.holder('report')).to.equal(null)
        expect(await locks.isLocked('report')).to.equal(false)
      })

      it('ignores a second release', async () => {
        const locks = await ctx.service()
        const lock = await locks.acquire('report')
        await Promise.all([lock.release(), lock.release()])
        await lock.release()
        const next = await locks.acquire('report', { timeout: 0 })
        await next.release()
      })

      it('does not release the lock of the next holder by a second release', async () => {
        const locks = await ctx.service()
        const first = await locks.acquire('report')
        await first.release()
        const second = await locks.acquire('report')
        await first.release()
        expect(second.isHeld).to.equal(true)
        expect(await second.verify()).to.equal(true)
        expect(await ctx.outsider.getLock(second.key)).to.equal(false)
        await second.release()

        expect(await ctx.outsider.getLock(first.key)).to.equal(true)
        await first.release()
        await second.release()
        expect(await ctx.outsider.holderOf(first.key)).to.equal(ctx.outsider.id)
        await ctx.outsider.releaseLock(first.key)
      })

      it('is released by await using', async () => {
        const locks = await ctx.service()
        let key: string
        {
          await using lock = await locks.acquire('report')
          await using nothing = await locks.tryAcquire('report')
          expect(nothing).to.equal(null)
          key = lock.key
          expect(await ctx.outsider.getLock(key)).to.equal(false)
        }
        expect(await ctx.outsider.holderOf(key)).to.equal(null)
      })

      it('tryAcquire returns null at once, for every kind of holder', async () => {
        const locks = await ctx.service()
        const other = await ctx.service()
        const mine = await locks.acquire('mine')
        const theirs = await other.acquire('theirs')
        const foreign = ctx.keyOf('foreign')
        expect(await ctx.outsider.getLock(foreign)).to.equal(true)
        for (const name of ['mine', 'theirs', 'foreign']) {
          const times: number[] = []
          for (let i = 0; i < 3; i++) {
            const start = performance.now()
            expect(await locks.tryAcquire(name), name).to.equal(null)
            times.push(performance.now() - start)
          }
          expect(Math.min(...times), `milliseconds for ${name}`).to.be.lessThan(50)
        }
        await Promise.all([mine.release(), theirs.release(), ctx.outsider.releaseLock(foreign)])
        for (const name of ['mine', 'theirs', 'foreign']) {
          const lock = await locks.tryAcquire(name)
          expect(lock, name).to.be.instanceOf(NamedLock)
          await lock?.release()
        }
      })

      it('gets a free lock without waiting, on a service that has no connection yet', async () => {
        const tried = await (await ctx.service()).tryAcquire('report')
        expect(tried).to.be.instanceOf(NamedLock)
        await tried?.release()
        const acquired = await (await ctx.service()).acquire('report', { timeout: 0 })
        await acquired.release()
      })

      it('holds a hundred locks of random names at once', async () => {
        const locks = await ctx.service()
        const seed = Date.now()
        const random = fc.string({ unit: 'binary', minLength: 1, maxLength: 80 })
        const wellFormed = random.filter((name) => name.isWellFormed() && name.length <= 1024)
        const names = [...new Set(fc.sample(wellFormed, { numRuns: 200, seed }))].slice(0, 100)
        expect(names, `seed ${seed}`).to.have.length(100)
        const held = await Promise.all(names.map((name) => locks.acquire(name)))
        expect(new Set(held.map(({ key }) => key)).size, `seed ${seed}`).to.equal(100)
        const onServer = await ctx.outsider.userLocksOf(ctx.database)
        expect(
          onServer.map(({ key }) => key),
          `seed ${seed}`,
        ).to.have.members(held.map(({ key }) => key))
        await Promise.all(held.map((lock) => lock.release()))
        expect(await ctx.outsider.userLocksOf(ctx.database), `seed ${seed}`).to.deep.equal([])
      })

      it('keeps a thousand locks on a handful of connections', async () => {
        const dataSource = await ctx.dataSource({ poolSize: 10 })
        const locks = await ctx.service({}, dataSource)
        const held = await Promise.all(Array.from({ length: 1000 }, (_, i) => locks.acquire(`n${i}`)))
        expect(await ctx.outsider.connectionsOf(ctx.database)).to.have.length.of.at.most(5)
        expect(await ctx.outsider.userLocksOf(ctx.database)).to.have.length(1000)
        await Promise.all(held.map((lock) => lock.release()))
      })

      it('survives the transactions of other callers', async () => {
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({}, dataSource)
        const lock = await locks.acquire('report')
        const holder = await ctx.outsider.holderOf(lock.key)
        await dataSource.transaction((manager) => manager.query('SELECT 1'))
        await dataSource
          .transaction(async (manager) => {
            await manager.query('SELECT 1')
            throw new Error('roll back')
          })
          .catch(() => undefined)
        expect(await ctx.outsider.holderOf(lock.key)).to.equal(holder)
        expect(await lock.verify()).to.equal(true)
        await lock.release()
      })
    },
    typeorms,
    'core',
  )
})
