import { expect } from 'chai'
import {
  NamedLockError,
  NamedLockTimeoutError,
  type NamedLockService,
  type NamedLockServiceOptions,
} from '../../src/index.js'
import { forEachDialect, type Conformance } from '../support/conformance.js'
import { reasonOf, rejection } from '../support/rejection.js'
import type { SqlClient } from '../support/sql-client.js'
import { settlesWithin, until } from '../support/until.js'
import { bootClock, wallClock } from '../../src/util/clock.js'

/** The connection that is blocked for a lock. */
function blockedConnection(ctx: Conformance, key: string): Promise<string> {
  return until(`a connection that waits for ${key}`, async () => {
    const locks = await ctx.outsider.userLocksOf(ctx.database)
    return locks.find((lock) => lock.key === key && lock.status === 'PENDING')?.connectionId
  })
}

/** A service that has to poll for this lock, and does so by now. */
async function polling(ctx: Conformance, options: NamedLockServiceOptions = {}): Promise<NamedLockService> {
  const locks = await ctx.service({ maxSessions: 1, ...options })
  await (await locks.acquire('warm')).release()
  return locks
}

function onlyDatabaseErrors(error: unknown): null {
  if (error instanceof NamedLockError && error.code === 'DATABASE') return null
  throw error
}

describe('a session that dies or is disturbed', () => {
  forEachDialect((ctx) => {
    const foreign = () => ctx.keyOf('foreign')

    /** A name that is taken before 'foreign': names are taken in the order of their keys, and PostgreSQL's keys are hashes. */
    const earlier = () => {
      let i = 0
      while (ctx.keyOf(`a${i}`) > foreign()) i++
      return `a${i}`
    }

    /** An outsider that holds the lock 'foreign'. */
    async function stranger(): Promise<SqlClient> {
      const client = await ctx.connectOutsider()
      expect(await client.getLock(foreign())).to.equal(true)
      return client
    }

    async function killAnyOf(killer: SqlClient): Promise<void> {
      const connection = await until('a connection', async () => {
        const all = await ctx.outsider.connectionsOf(ctx.database)
        return all[0]
      })
      await killer.kill(connection.id).catch(() => undefined) // it may be on its way out
    }

    for (const call of ['acquire', 'transaction'] as const) {
      it(`while ${call} waits on a connection of its own: the wait goes on, on another one`, async () => {
        const locks = await ctx.service()
        const holder = await stranger()
        const waiting =
          call === 'acquire'
            ? locks.acquire('foreign', { session: 'dedicated', timeout: '10s' }).then((lock) => lock.release())
            : locks.transaction('foreign', { timeout: '10s' }, () => undefined)
        for (let i = 0; i < 3; i++) {
          const id = await blockedConnection(ctx, foreign())
          await ctx.outsider.kill(id)
          await until('it is gone', async () => {
            return !(await ctx.outsider.connectionsOf(ctx.database)).some((one) => one.id === id)
          })
        }
        await holder.releaseLock(foreign())
        await settlesWithin(3_000, 'the caller', waiting)
        await locks.close()
        await ctx.expectNothingBorrowed(locks.dataSource)
      })
    }

    it('while a call with several names waits on its own connection: it takes all of them on another one', async () => {
      const locks = await ctx.service()
      const holder = await stranger()
      const waiting = locks.acquire([earlier(), 'foreign'], { session: 'dedicated', timeout: '10s' })
      const id = await blockedConnection(ctx, foreign())
      await ctx.outsider.kill(id)
      await until('another connection', async () => (await blockedConnection(ctx, foreign())) !== id)
      await holder.releaseLock(foreign())
      const lock = await settlesWithin(5_000, 'the caller', waiting)
      expect(await lock.verify()).to.equal(true)
      await lock.release()
      await until('the locks to be free', async () => (await ctx.outsider.userLocksOf(ctx.database)).length === 0)
      await locks.close()
      await ctx.expectNothingBorrowed(locks.dataSource)
    })

    it('of the names before, while a call waits for a later one: it takes them again, and never gets a set with a lost lock', async () => {
      const locks = await ctx.service()
      const holder = await stranger()
      const waiting = locks.acquire([earlier(), 'foreign'], { timeout: '10s' })
      await blockedConnection(ctx, foreign())
      await ctx.outsider.kill((await ctx.outsider.holderOf(ctx.keyOf(earlier())))!)
      await until('the loss', async () => (await ctx.outsider.holderOf(ctx.keyOf(earlier()))) === null)
      await holder.releaseLock(foreign())
      const lock = await settlesWithin(5_000, 'the caller', waiting)
      expect(await lock.verify()).to.equal(true)
      expect(await ctx.outsider.holderOf(ctx.keyOf(earlier()))).not.to.equal(null)
      await lock.release()
      await until('the locks to be free', async () => (await ctx.outsider.userLocksOf(ctx.database)).length === 0)
    })

    it('by the clock, while a call waits for a later name: the same, before any timer could run', async () => {
      const locks = await ctx.service()
      const holder = await stranger()
      const realNow = wallClock.now
      const realBoot = bootClock.now
      const waiting = locks.acquire([earlier(), 'foreign'], { timeout: '10s' })
      await blockedConnection(ctx, foreign())
      const lost: string[] = []
      locks.on('lost', ({ name }) => lost.push(name))
      try {
        // The machine was asleep; the first that comes of it is the grant.
        locks.once('acquired', () => {
          wallClock.now = () => realNow() + 60_000
          bootClock.now = () => realBoot() + 60_000
        })
        await holder.releaseLock(foreign())
        const lock = await settlesWithin(5_000, 'the caller', waiting)
        expect(await lock.verify()).to.equal(true)
        expect(lost).to.include(earlier())
        await lock.release()
      } finally {
        wallClock.now = realNow
        bootClock.now = realBoot
      }
      await until('the locks to be free', async () => (await ctx.outsider.userLocksOf(ctx.database)).length === 0)
    })

    it('while a slot polls: only the poll notices', async () => {
      const locks = await polling(ctx)
      const holder = await stranger()
      const waiting = locks.acquire('foreign', { timeout: '20s' })
      for (let i = 0; i < 15; i++) {
        await killAnyOf(ctx.outsider)
      }
      await holder.releaseLock(foreign())
      await (await settlesWithin(3_000, 'the caller', waiting)).release()
    })

    it('and the server cannot be reached while a slot polls: only the poll notices', async () => {
      const proxy = await ctx.proxy()
      const dataSource = await ctx.dataSource({ port: proxy.port })
      const locks = await ctx.service({ maxSessions: 1 }, dataSource)
      const holder = await stranger()
      const waiting = locks.acquire('foreign', { timeout: '20s' })
      await until('the polling mark', async () => (await ctx.outsider.userLocksOf(ctx.database)).length > 0)
      await proxy.shut()
      await until('a failed try', () => locks.tryAcquire('other').catch(() => true))
      await proxy.open()
      await holder.releaseLock(foreign())
      await (await settlesWithin(5_000, 'the caller', waiting)).release()
    })

    it('is not what a timeout is blamed on when it has long been replaced', async () => {
      const locks = await ctx.service()
      const holder = await stranger()
      const waiting = rejection(locks.acquire('foreign', { timeout: 1_500 }), NamedLockTimeoutError)
      await ctx.outsider.kill(await blockedConnection(ctx, foreign()))
      const error = await waiting
      await holder.releaseLock(foreign())
      expect(error.holder?.connectionId, error.message).to.equal(holder.id)
    })

    for (const session of ['shared', 'dedicated'] as const) {
      it(`by KILL QUERY around the moment of grant: the lock comes, and goes again (${session})`, async () => {
        const locks = await ctx.service()
        const killer = await ctx.connectOutsider()
        const holder = await ctx.connectOutsider()
        for (let i = 0; i < 40; i++) {
          await until('the lock for the outsider', () => holder.getLock(foreign()))
          const waiting = locks.acquire('foreign', { session, timeout: '10s' })
          const id = await blockedConnection(ctx, foreign())
          const released = holder.releaseLock(foreign())
          for (let k = 0; k < 6; k++) await killer.cancel(id).catch(() => undefined)
          await released
          const lock = await settlesWithin(3_000, `the caller in round ${i}`, waiting)
          expect(lock.isHeld, `round ${i}`).to.equal(true)
          expect(await ctx.outsider.holderOf(foreign()), `round ${i}`).not.to.equal(null)
          await lock.release()
          await until(`the lock to be free in round ${i}`, async () => {
            return (await ctx.outsider.holderOf(foreign())) === null
          })
        }
      })
    }

    it('leaves a try that was under way with an answer at once', async () => {
      const locks = await polling(ctx)
      const holder = await stranger()
      const killer = await ctx.connectOutsider()
      for (let i = 0; i < 15; i++) {
        const tries = Array.from({ length: 20 }, async (_, n) => {
          // A connection that dies while it is being opened is an error, as it is for any caller.
          return locks.tryAcquire(n === 10 ? 'foreign' : `n${n}`).catch(onlyDatabaseErrors)
        })
        const killed = killAnyOf(killer)
        const results = await settlesWithin(1_500, `the tries in round ${i}`, Promise.all(tries))
        await killed
        expect(results[10], `round ${i}`).to.equal(null)
        for (const lock of results) await lock?.release()
      }
      await holder.releaseLock(foreign())
    })

    it('is no reason to miss a signal that a listener aborts when the caller begins to wait', async () => {
      const locks = await ctx.service()
      const holder = await stranger()
      const controller = ctx.abortController()
      locks.on('waiting', () => controller.abort('enough'))
      const waiting = reasonOf(locks.acquire('foreign', { timeout: '10s', signal: controller.signal }))
      expect(await settlesWithin(1_000, 'the caller', waiting)).to.equal('enough')
      await holder.releaseLock(foreign())
    })

    it('is no reason to miss a signal that is aborted between the names of a call', async () => {
      const locks = await ctx.service()
      const holder = await stranger()
      const controller = ctx.abortController()
      locks.on('acquired', () => controller.abort('enough'))
      const waiting = reasonOf(locks.acquire([earlier(), 'foreign'], { timeout: '10s', signal: controller.signal }))
      expect(await settlesWithin(1_000, 'the caller', waiting)).to.equal('enough')
      await holder.releaseLock(foreign())
    })
  })
})
