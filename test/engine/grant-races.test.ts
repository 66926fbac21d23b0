import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockError, NamedLockTimeoutError, type NamedLock, type NamedLockService } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { failStatements } from '../support/failing-statements.js'
import { reasonOf } from '../support/rejection.js'
import type { SqlClient } from '../support/sql-client.js'
import { borrowedConnections, type DataSource } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import { leftOnConnection } from './left-on-connection.js'
import { cancelled, hookStatements } from './statement-hook.js'

/** Rounds of each kind and server. */
const ROUNDS = Number(process.env.NAMED_LOCK_ROUNDS ?? 300)
const POOL_SIZE = 8
const LANES = 3

type Leaving = 'abort' | 'timeout'

describe('the moment of grant', () => {
  forEachDialect((ctx) => {
    /** The application takes every connection of the pool at once; none may have a lock or a setting of ours on it. */
    async function expectCleanPool(dataSource: DataSource): Promise<void> {
      const runners = Array.from({ length: POOL_SIZE }, () => dataSource.createQueryRunner())
      await settlesWithin(4_000, 'all connections of the pool', Promise.all(runners.map((runner) => runner.connect())))
      try {
        expect(borrowedConnections(dataSource)).to.equal(POOL_SIZE)
        for (const runner of runners) {
          const [row] = await runner.query(leftOnConnection(ctx))
          expect(Number(row.locks), `locks on connection ${row.id} of the pool`).to.equal(0)
          expect(Number(row.w), `time limit of connection ${row.id} of the pool`).to.equal(ctx.isPostgres ? 0 : 28_800)
        }
      } finally {
        await Promise.all(runners.map((runner) => runner.release()))
      }
    }

    /** One caller waits for a stranger's lock and leaves at about the moment when the stranger gives it back. */
    async function race(
      locks: NamedLockService,
      stranger: SqlClient,
      name: string,
      leaving: Leaving,
      session: 'shared' | 'dedicated',
    ): Promise<'granted' | 'left'> {
      const key = ctx.keyOf(name)
      expect(await stranger.getLock(key, 2), `'${name}' within 2 s: the caller that left has released it`).to.equal(
        true,
      )
      const controller = ctx.abortController()
      const patience = 8 + Math.random() * 8
      const options =
        leaving === 'abort' ? { signal: controller.signal, timeout: '10s' as const } : { timeout: patience }
      const start = performance.now()
      const outcome = locks.acquire(name, { session, ...options }).then(
        (lock: NamedLock<any>) => lock,
        (error: unknown) => error,
      )
      // Both within about a millisecond, either first. Spinning: timers are too coarse.
      const leavesAt = start + patience
      const releasesAt = leavesAt + (Math.random() - 0.7) * 1.5
      await sleep(patience - 3)
      const released = await inOrder(
        [releasesAt, () => stranger.releaseLock(key)],
        [leavesAt, () => controller.abort('enough')],
      )
      expect(released, 'the stranger still had it').to.equal(true)
      const result = await settlesWithin(3_000, `the caller of '${name}'`, outcome)
      if (result === 'enough' || result instanceof NamedLockTimeoutError) return 'left'
      const lock = result as NamedLock
      expect(lock.isHeld, String(result)).to.equal(true)
      await lock.release()
      return 'granted'
    }

    for (const session of ['shared', 'dedicated'] as const) {
      for (const leaving of ['abort', 'timeout'] as const) {
        it(`leaves no lock behind when a caller leaves by ${leaving} (${session})`, async function () {
          this.timeout(60_000 + ROUNDS * 200)
          const dataSource = await ctx.dataSource({ poolSize: POOL_SIZE })
          const locks = await ctx.service({}, dataSource)
          const strangers = await Promise.all(Array.from({ length: LANES }, () => ctx.connectOutsider()))
          const count = { granted: 0, left: 0 }
          // More where the machine is too busy for close races: those that are not close prove nothing.
          const isEnough = () => Math.min(count.granted, count.left) >= ROUNDS / 50
          let rounds = ROUNDS / LANES
          while (rounds > 0 || (rounds > (-2 * ROUNDS) / LANES && !isEnough())) {
            const lanes = strangers.map(async (stranger, lane) => {
              for (let i = 0; i < 25; i++) count[await race(locks, stranger, `lane${lane}`, leaving, session)]++
            })
            await Promise.all(lanes)
            await expectCleanPool(dataSource)
            rounds -= 25
          }
          await locks.close()
          await expectCleanPool(dataSource)
          expect(isEnough(), `of these some should have been races: ${JSON.stringify(count)}`).to.equal(true)
        })
      }
    }

    for (const session of ['shared', 'dedicated'] as const) {
      for (const leaves of [false, true]) {
        const waiter = leaves ? 'a caller that has left' : 'a caller'
        it(`is found out when the wait ends with an error after it: for ${waiter} (${session})`, async () => {
          const dataSource = await ctx.dataSource({ poolSize: POOL_SIZE })
          const hook = hookStatements(dataSource)
          const locks = await ctx.service({}, dataSource)
          const stranger = await ctx.connectOutsider()
          const key = ctx.keyOf('spoilt')
          await stranger.getLock(key)
          const controller = ctx.abortController()
          let spoilt = 0
          // What KILL QUERY looks like that comes when the lock has just been granted.
          hook.spoil = ({ sql }) => {
            if (!/GET_LOCK\(x'[0-9a-f]+',[1-9]|pg_advisory_lock\(/.test(sql)) return undefined
            spoilt++
            if (leaves) controller.abort('enough')
            return cancelled(ctx.isPostgres)
          }
          const outcome = locks
            .acquire('spoilt', { session, signal: controller.signal })
            .catch((error: unknown) => error)
          await until('the wait on the server', async () => {
            return (await ctx.outsider.userLocksOf(ctx.database)).some((one) => one.status === 'PENDING')
          })
          await stranger.releaseLock(key)
          const lock = (await settlesWithin(2_000, 'the caller', outcome)) as NamedLock
          expect(spoilt).to.equal(1)
          if (leaves) {
            expect(lock).to.equal('enough')
          } else {
            expect(await lock.verify()).to.equal(true)
            await lock.release()
          }
          const isFree = async () => (await ctx.outsider.holderOf(key)) === null
          await until('the lock to be free', isFree, { within: 1_000 })
          await expectCleanPool(dataSource)
        })
      }
    }

    for (const session of ['shared', 'dedicated'] as const) {
      it(`is found out when the request for a free lock ends with an error after it (${session})`, async () => {
        const dataSource = await ctx.dataSource({ poolSize: POOL_SIZE })
        const hook = hookStatements(dataSource)
        const locks = await ctx.service({}, dataSource)
        let spoilt = 0
        hook.spoil = ({ sql }) => {
          if (!/GET_LOCK\(x'[0-9a-f]+',0\)|pg_try_advisory_lock\(-?\d|named_lock\('\{0\}'/.test(sql) || ++spoilt > 1)
            return undefined
          return cancelled(ctx.isPostgres)
        }
        const call = locks.acquire('spoilt', { session, timeout: '5s' }).catch((error: unknown) => {
          // A connection that is in doubt ends; its caller may be told of that.
          if (error instanceof NamedLockError && error.code === 'DATABASE' && session === 'dedicated') return undefined
          throw error
        })
        const lock = await settlesWithin(2_000, 'the caller', call)
        expect(spoilt).to.be.at.least(1)
        if (lock) {
          expect(await lock.verify()).to.equal(true)
          await lock.release()
        }
        const isFree = async () => (await ctx.outsider.holderOf(`${ctx.database}.spoilt`)) === null
        await until('the lock to be free', isFree, { within: 1_000 })
        await expectCleanPool(dataSource)
      })
    }

    it('releases a lock at once that comes when no caller waits any more', async () => {
      const dataSource = await ctx.dataSource({ poolSize: POOL_SIZE })
      const locks = await ctx.service({}, dataSource)
      const stranger = await ctx.connectOutsider()
      const key = ctx.keyOf('late')
      const cancels = failStatements(dataSource, /^KILL|pg_cancel_backend/)
      await stranger.getLock(key)
      const controller = ctx.abortController()
      const outcome = reasonOf(locks.acquire('late', { signal: controller.signal, timeout: '20s' }))
      const isBlocked = async () =>
        (await ctx.outsider.userLocksOf(ctx.database)).some((one) => one.status === 'PENDING')
      await until('the wait on the server', isBlocked)
      cancels.begin()
      controller.abort('enough')
      expect(await outcome).to.equal('enough')
      await until('a cancel', () => cancels.count > 0)
      expect(await isBlocked(), 'the cancel was refused, so the server still waits').to.equal(true)
      await stranger.releaseLock(key)
      const start = performance.now()
      expect(await ctx.outsider.getLock(key, 5)).to.equal(true)
      expect(performance.now() - start).to.be.lessThan(1_000)
      await ctx.outsider.releaseLock(key)
      cancels.end()
      await expectCleanPool(dataSource)
    })

    it('passes the lock to a caller that comes while a cancelled wait is still under way', async () => {
      const dataSource = await ctx.dataSource({ poolSize: POOL_SIZE })
      const locks = await ctx.service({}, dataSource)
      const stranger = await ctx.connectOutsider()
      const key = ctx.keyOf('next')
      for (let i = 0; i < 60; i++) {
        await until('the lock for the stranger', () => stranger.getLock(key))
        const controller = ctx.abortController()
        const first = reasonOf(locks.acquire('next', { signal: controller.signal, timeout: '20s' }))
        await sleep(8)
        controller.abort('enough')
        await new Promise((resolve) => setTimeout(resolve, i % 3))
        const second = locks.acquire('next', { timeout: '5s' })
        expect(await first).to.equal('enough')
        await stranger.releaseLock(key)
        await (await settlesWithin(1_000, `the second caller in round ${i}`, second)).release()
      }
    })
  })
})

/** Does both when their time has come; gives what the first of the arguments comes to. */
async function inOrder<T>(one: [at: number, act: () => Promise<T>], other: [at: number, act: () => void]): Promise<T> {
  const spinUntil = (at: number): void => {
    while (performance.now() < at);
  }
  if (one[0] <= other[0]) {
    spinUntil(one[0])
    const result = one[1]()
    await sleep(0)
    spinUntil(other[0])
    other[1]()
    return result
  }
  spinUntil(other[0])
  other[1]()
  await sleep(0)
  spinUntil(one[0])
  return one[1]()
}
