import { expect } from 'chai'
import { setImmediate } from 'node:timers/promises'
import {
  NamedLockConfigurationError,
  NamedLockLostError,
  WithNamedLock,
  type NamedLockService,
} from '../../src/index.js'
import { hookStatements } from '../engine/statement-hook.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { connectionsIn } from '../support/typeorms.js'
import { until } from '../support/until.js'

const background = { release: 'background' } as const
/** Fewer than a session sends before it prepares them, so that each is seen as a text. */
const LOCKS = 6

describe("release: 'background'", () => {
  forEachDialect((ctx) => {
    /** The statements about locks of one caller, for so many locks of different names in sequence. */
    async function statementsOf(call: (locks: NamedLockService, name: string) => Promise<unknown>, options = {}) {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service(options, dataSource)
      await locks.withLock('warm', () => {})
      const hook = hookStatements(dataSource)
      let statements = 0
      hook.afterSend = ({ requests }) => (statements += requests > 0 ? 1 : 0)
      for (let i = 0; i < LOCKS; i++) await call(locks, `name ${i}`)
      await locks.close()
      return statements
    }

    class Reports {
      constructor(readonly locks: NamedLockService) {}

      @WithNamedLock((name: string) => name, '5s', background)
      async run(name: string): Promise<string> {
        return name
      }
    }

    const calls: Record<string, (locks: NamedLockService, name: string, options?: object) => Promise<unknown>> = {
      withLock: (locks, name, options = {}) => locks.withLock(name, options, () => {}),
      tryWithLock: (locks, name, options = {}) => locks.tryWithLock(name, options, () => {}),
      acquire: async (locks, name, options) => (await locks.acquire(name, options)).release(),
      tryAcquire: async (locks, name, options) => (await locks.tryAcquire(name, options))?.release(),
    }

    it('makes one statement of a release and the next lock, in every call', async () => {
      expect(await statementsOf((locks, name) => locks.withLock(name, () => {}))).to.equal(2 * LOCKS)
      for (const [name, call] of Object.entries(calls)) {
        expect(await statementsOf(call, background), name).to.equal(LOCKS + 1)
        expect(await statementsOf((locks, lock) => call(locks, lock, background)), name).to.equal(LOCKS + 1)
        const awaited = (locks: NamedLockService, lock: string) => call(locks, lock, { release: 'awaited' })
        expect(await statementsOf(awaited, background), name).to.equal(2 * LOCKS)
      }
      expect(await statementsOf((locks, name) => new Reports(locks).run(name))).to.equal(LOCKS + 1)
    })

    it('means the same when the statement is prepared', async () => {
      const locks = await ctx.service(background)
      for (let i = 0; i < 60; i++) {
        const lock = await locks.acquire(`name ${i % 3}`)
        expect(await ctx.outsider.getLock(lock.key)).to.equal(false)
        expect(await lock.verify()).to.equal(true)
        await lock.release()
      }
      await until('the end of the last lock', async () => (await ctx.outsider.userLocksOf(ctx.database)).length === 0)
    })

    it('frees the lock without another request', async () => {
      const locks = await ctx.service(background)
      const lock = await locks.acquire('report')
      await lock.release()
      await until('the end of the lock', () => ctx.outsider.getLock(lock.key), { within: 2_000 })
      await ctx.outsider.releaseLock(lock.key)
      const dedicated = await locks.acquire('report', { session: 'dedicated', timeout: '2s' })
      await dedicated.release()
      await until('the end of the lock', () => ctx.outsider.getLock(lock.key), { within: 2_000 })
      await ctx.outsider.releaseLock(lock.key)
    })

    it('passes the lock to the next caller of its name, until the turn of the process is over', async () => {
      const locks = await ctx.service({ ...background, handOver: { times: 20 } })
      const by: string[] = []
      locks.on('acquired', (event) => by.push(event.by))
      const { key } = await locks.withLock('report', (lock) => lock)
      for (let i = 0; i < 30; i++) {
        expect(await locks.tryWithLock('report', () => i)).to.deep.equal({ acquired: true, value: i })
      }
      expect(by.filter((how) => how === 'handover')).to.have.length.within(20, 30)
      expect(by.filter((how) => how === 'server')).to.have.length.of.at.least(1)

      let isOver = false
      const loop = (async () => {
        while (!isOver) await locks.withLock('report', () => setImmediate())
      })()
      const waiter = await ctx.connectOutsider()
      expect(await waiter.getLock(key, 8)).to.equal(true)
      isOver = true
      await waiter.releaseLock(key)
      await loop
    })

    it('rejects a loss that is known when the work ends, and tells of one that the release finds by the event `lost`', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service(background, dataSource)
      /** Ends a lock on the library's own connection, unknown to the library. */
      const releaseBehind = (key: string) =>
        Promise.all(
          connectionsIn(dataSource).map((connection) =>
            ctx.isPostgres
              ? connection.query(`SELECT pg_advisory_unlock(${key})`)
              : new Promise<void>((resolve) => connection.query(`DO RELEASE_LOCK('${key}')`, () => resolve())),
          ),
        )
      const lost: string[] = []
      locks.on('lost', ({ name, error }) => {
        expect(error).to.be.instanceOf(NamedLockLostError)
        lost.push(name)
      })
      const known = locks.withLock('known', async (lock) => {
        await ctx.outsider.kill((await ctx.outsider.holderOf(lock.key))!)
        await until('the signal', () => lock.signal.aborted)
      })
      await rejection(known, NamedLockLostError)
      expect(lost).to.deep.equal(['known'])

      const lock = await locks.acquire('found')
      const holder = (await ctx.outsider.holderOf(lock.key))!
      // Before the library sees the end of the connection, or after it: the event comes either way.
      await ctx.outsider.kill(holder)
      await lock.release()
      await until('the event', () => lost.includes('found'))

      const gone = await locks.acquire('gone')
      await releaseBehind(gone.key)
      expect(await ctx.outsider.getLock(gone.key)).to.equal(true)
      await gone.release()
      await until('the event', () => lost.includes('gone'))
      await ctx.outsider.releaseLock(gone.key)
    })

    it('leaves nothing behind when the service closes', async () => {
      const locks = await ctx.service(background)
      const all = await Promise.all(Array.from({ length: 50 }, (_, i) => locks.acquire(`name ${i}`)))
      for (const lock of all) void lock.release()
      await locks.close()
      expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
    })

    it('is not for transactions: their calls wait for the end of the lock', async () => {
      const locks = await ctx.service(background)
      const key = await locks.transaction('report', (_manager, lock) => lock.key)
      expect(await ctx.outsider.getLock(key)).to.equal(true)
      await ctx.outsider.releaseLock(key)
      await rejection(
        locks.transaction('report', background as object, () => {}),
        NamedLockConfigurationError,
      )
      expect(() => WithNamedLock('report', '1s', { ...background, transaction: true })).to.throw(
        NamedLockConfigurationError,
        /release: .* transaction/,
      )
    })
  })
})
