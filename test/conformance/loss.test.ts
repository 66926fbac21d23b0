import { expect } from 'chai'
import { NamedLockLostError, type NamedLock } from '../../src/index.js'
import { typeorms } from '../support/typeorms.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

describe('a lock that is lost', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      async function killHolder(lock: NamedLock): Promise<void> {
        const holder = await ctx.outsider.holderOf(lock.keys[0]!)
        await ctx.outsider.kill(holder!)
      }

      for (const session of ['shared', 'dedicated'] as const) {
        it(`is reported everywhere, and can be acquired again (${session})`, async () => {
          const locks = await ctx.service()
          const lost: { name: string; error: Error }[] = []
          locks.on('lost', ({ name, error }) => lost.push({ name, error }))
          const lock = await locks.acquire('report', { session })
          const token = await lock.fencingToken()
          const { signal } = lock
          expect(signal.aborted).to.equal(false)
          await killHolder(lock)
          await until('the signal', () => signal.aborted, { within: 1_000 })
          expect(signal.reason).to.be.instanceOf(NamedLockLostError)
          expect(lock.isHeld).to.equal(false)
          expect(await lock.verify()).to.equal(false)
          const error = await rejection(lock.fencingToken(), NamedLockLostError)
          expect(error.code).to.equal('LOST')
          expect(error.message).to.include("'report'")
          expect(lost.map(({ name }) => name)).to.deep.equal(['report'])
          expect(lost[0]?.error).to.equal(signal.reason)

          const next = await locks.acquire('report', { timeout: '2s', session })
          await lock.release()
          await lock.release()
          expect(await next.verify()).to.equal(true)
          const nextToken = await next.fencingToken()
          expect(nextToken > token, `${nextToken} after ${token}`).to.equal(true)
          await next.release()
        })
      }

      it('takes all locks of its session with it, and no others', async () => {
        const locks = await ctx.service()
        const own = await locks.acquire('own', { session: 'dedicated' })
        const held = await Promise.all(['a', 'b', 'c'].map((name) => locks.acquire(name)))
        const several = await locks.acquire(['d', 'e'])
        await killHolder(held[0]!)
        await until('the loss', () => held.every((lock) => !lock.isHeld) && !several.isHeld)
        expect(own.isHeld).to.equal(true)
        expect(await own.verify()).to.equal(true)
        await Promise.all([own, several, ...held].map((lock) => lock.release()))
        await (await locks.acquire(['a', 'b', 'c', 'd', 'e'], { timeout: '2s' })).release()
      })

      it('has a signal that is aborted also for later readers', async () => {
        const locks = await ctx.service()
        const lock = await locks.acquire('report')
        await killHolder(lock)
        await until('the loss', () => !lock.isHeld)
        expect(lock.signal.aborted).to.equal(true)
        expect(lock.signal.reason).to.be.instanceOf(NamedLockLostError)
        await lock.release()
      })

      it('fails withLock, even if the work returned', async () => {
        const locks = await ctx.service()
        const work = async (lock: NamedLock<undefined>) => {
          await killHolder(lock)
          await until('the loss', () => !lock.isHeld)
          return 'done'
        }
        await rejection(locks.withLock('report', work), NamedLockLostError)
        await rejection(locks.tryWithLock('report', work), NamedLockLostError)
      })

      it("does not hide the work's own error", async () => {
        const locks = await ctx.service()
        const mine = new Error('mine')
        const work = locks.withLock('report', async (lock) => {
          await killHolder(lock)
          await until('the loss', () => !lock.isHeld)
          throw mine
        })
        expect(await reasonOf(work)).to.equal(mine)
      })

      it('is granted to a waiter of this process, on a new session', async () => {
        const locks = await ctx.service()
        const lock = await locks.acquire('report')
        const waiting = locks.acquire('report', { timeout: '10s' })
        await killHolder(lock)
        const next = await settlesWithin(3_000, 'the waiter', waiting)
        expect(lock.isHeld).to.equal(false)
        expect(await next.verify()).to.equal(true)
        await next.release()
      })

      it('is not caused by the death of a waiting connection: the wait continues', async () => {
        const locks = await ctx.service()
        const foreign = ctx.keyOf('foreign')
        await ctx.outsider.getLock(foreign)
        const waiting = locks.acquire('foreign', { timeout: '10s' })
        const waiter = await until('a waiter on the server', async () => {
          const onServer = await ctx.outsider.userLocksOf(ctx.database)
          return onServer.find(({ status }) => status === 'PENDING')
        })
        await ctx.outsider.kill(waiter.connectionId)
        await until('the waiter to be gone', async () => {
          const ids = (await ctx.outsider.connectionsOf(ctx.database)).map(({ id }) => id)
          return !ids.includes(waiter.connectionId)
        })
        await ctx.outsider.releaseLock(foreign)
        await (await settlesWithin(3_000, 'the waiter', waiting)).release()
      })

      it('is detected by verify(), when the work itself released it', async () => {
        const locks = await ctx.service()
        const lock = await locks.acquire('report', { session: 'dedicated' })
        await lock.manager.query('SELECT RELEASE_ALL_LOCKS()')
        expect(await lock.verify()).to.equal(false)
        await rejection(lock.fencingToken(), NamedLockLostError)
        await lock.release()
        await (await locks.acquire('report', { timeout: '2s' })).release()
      })

      it('is distinguished from a released one', async () => {
        const locks = await ctx.service()
        const lost: string[] = []
        locks.on('lost', ({ name }) => lost.push(name))
        const lock = await locks.acquire('report')
        const { signal } = lock
        await lock.release()
        expect(lock.isHeld).to.equal(false)
        expect(await lock.verify()).to.equal(false)
        expect(signal.aborted).to.equal(false)
        await rejection(lock.fencingToken(), NamedLockLostError)
        expect(lost).to.deep.equal([])
      })

      it('is refused by its fencing token, which rises from holder to holder', async () => {
        const services = await Promise.all([ctx.service(), ctx.service()])
        let last = 0n
        for (let i = 0; i < 10; i++) {
          const lock = await services[i % 2]!.acquire('report', i % 3 ? {} : { session: 'dedicated' })
          for (let twice = 0; twice < 2; twice++) {
            const token = await lock.fencingToken()
            expect(token).to.be.a('bigint')
            expect(token > last, `${token} after ${last}`).to.equal(true)
            last = token
          }
          await lock.release()
        }
      })
    },
    typeorms,
    'core',
  )
})
