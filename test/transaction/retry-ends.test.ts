import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import {
  NamedLockClosedError,
  NamedLockConfigurationError,
  NamedLockError,
  NamedLockLostError,
  NamedLockTimeoutError,
  WithNamedLock,
  type NamedLockEvents,
  type NamedLockService,
} from '../../src/index.js'
import { GrowingPause } from '../../src/util/growing-pause.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { typeorms, type DataSource } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import { onStatement } from './support/on-statement.js'
import { Stock } from './support/stock.js'
import { fallVictim } from './support/victim.js'

/** What ends the tries of the option `retry`, and what it leaves alone. */
describe('the end of the tries', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      const stock = new Stock(ctx)
      let dataSource: DataSource
      let locks: NamedLockService
      let others: DataSource
      let tries: number
      let retried: number

      beforeEach(async () => {
        await stock.fill(8)
        dataSource = await ctx.dataSource()
        others = await ctx.dataSource()
        locks = await ctx.service({}, dataSource)
        tries = 0
        retried = 0
        locks.on('retried', () => void retried++)
      })

      const { next } = GrowingPause.prototype
      afterEach(() => (GrowingPause.prototype.next = next))
      /** Makes the pauses so long that a test does not see their end. */
      const pauseForLong = () => (GrowingPause.prototype.next = () => 60_000)

      const victim = (manager: EntityManager) => {
        tries++
        return fallVictim(ctx, stock, others, manager)
      }
      const isDeadlock = (error: unknown): void => {
        if (ctx.isPostgres) expect(error).to.have.property('code', '40P01')
        else expect(error).to.have.property('errno', 1213)
      }
      async function expectUnlocked(): Promise<void> {
        await until('the release', async () => (await ctx.outsider.holderOf(ctx.keyOf('a'))) === null)
        expect(await stock.count(0)).to.equal(0)
        await locks.transaction('a', (manager) => stock.add(manager))
        expect(await stock.count(0)).to.equal(1)
      }
      /** Calls `then` when that many tries have failed and the next one is to follow. */
      const afterTry = (n: number, then: (event: NamedLockEvents['retried'][0]) => unknown) =>
        locks.on('retried', (event) => void (event.tries === n && then(event)))

      it('names their number, with the error of the database as its cause', async () => {
        const error = await rejection(
          locks.transaction('stock:7', { retry: { deadlock: 3, serialization: 9 } }, (manager) =>
            victim(manager).catch(() => Promise.reject(new Error('503'))),
          ),
        )
        expect(error).to.be.instanceOf(NamedLockError).and.include({ code: 'DATABASE', outcome: 'rolledBack' })
        expect(error.message).to.include(
          `The transaction under lock 'stock:7' was rolled back by a deadlock in each of 4 tries: ${(error.cause as Error).message}`,
        )
        isDeadlock(error.cause)
        expect(tries).to.equal(4)
      })

      it('is the first one without the option, and for other reasons than the option has', async () => {
        for (const options of [undefined, { retry: undefined }, { retry: {} }, { retry: { serialization: 5 } }]) {
          tries = 0
          const error = await rejection(locks.transaction('a', options, (manager) => victim(manager)))
          isDeadlock((error as { driverError?: unknown }).driverError)
          expect(tries).to.equal(1)
        }
      })

      it('is at once for errors of the work and of its statements', async () => {
        const mine = new Error('mine')
        const fails: ((manager: EntityManager) => Promise<unknown>)[] = [
          () => Promise.reject(mine),
          (manager) => manager.query(`INSERT INTO ${stock.table} VALUES (0, 0)`),
          (manager) => manager.query('SELECT nothing FROM nowhere'),
        ]
        // As from MariaDB's GET_LOCK, or another engine: the transaction goes on after it.
        const signal = (errno: number) => `SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = ${errno}`
        if (!ctx.isPostgres) fails.push(...[1213, 1020].map((errno) => (of: EntityManager) => of.query(signal(errno))))
        for (const fail of fails) {
          tries = 0
          const run = locks.transaction('a', { retry: { deadlock: 5, serialization: 5 } }, (manager) => {
            tries++
            return fail(manager)
          })
          await rejection(run)
          expect(tries).to.equal(1)
        }
        await expectUnlocked()
      })

      // Where the server rolls the whole transaction back, no savepoint can save it.
      const onPostgres = ctx.isPostgres ? it : () => undefined
      onPostgres('is at once for an error after a deadlock that a savepoint has undone', async () => {
        const mine = new Error('mine')
        const run = locks.transaction('a', { retry: { deadlock: 5 } }, async (manager) => {
          await rejection(manager.transaction((inner) => victim(inner)))
          await stock.read(manager)
          throw mine
        })
        expect(await rejection(run)).to.equal(mine)
        expect(tries).to.equal(1)
      })

      it('comes with the loss of the lock in a try', async () => {
        const run = locks.transaction('a', { retry: { deadlock: 5 } }, async (manager) => {
          await rejection(victim(manager))
          await ctx.outsider.kill(String(await ctx.outsider.holderOf(ctx.keyOf('a'))))
          await manager.query('SELECT SLEEP(10)')
        })
        const error = await rejection(run, NamedLockLostError)
        expect(error.outcome).to.equal('rolledBack')
        expect([tries, retried]).to.deep.equal([1, 0])
        await expectUnlocked()
      })

      it('comes with the loss of the lock in a pause', async () => {
        pauseForLong()
        afterTry(2, async () => ctx.outsider.kill(String(await ctx.outsider.holderOf(ctx.keyOf('a')))))
        const run = locks.transaction('a', { retry: { deadlock: 200 } }, (manager) => victim(manager))
        const error = await settlesWithin(10_000, 'the transaction', rejection(run, NamedLockLostError))
        expect(error.outcome).to.equal('rolledBack')
        expect(tries).to.equal(2)
        await expectUnlocked()
      })

      it('comes with a lost answer to the COMMIT, whatever was retried before', async () => {
        const proxy = await ctx.proxy()
        const behind = await ctx.dataSource({ port: proxy.port })
        const service = await ctx.service({}, behind)
        let cut = true
        onStatement(behind, /^COMMIT$/, () => {
          if (cut) proxy.blackHole('to client')
        })
        const run = service.transaction('a', { retry: { deadlock: 5, serialization: 5 } }, async (manager) => {
          if (tries === 0) await victim(manager)
          tries++
          await stock.add(manager, 0)
        })
        const outcome = rejection(run, NamedLockLostError)
        await until('the COMMIT on the server', async () => (await stock.count()) === 1)
        cut = false
        await proxy.shut()
        const error = await settlesWithin(3_000, 'the transaction', outcome)
        expect(error.outcome).to.equal('unknown')
        expect(tries).to.equal(2)
      })

      it('comes with the signal, between two tries', async () => {
        pauseForLong()
        for (const n of [1, 2]) {
          tries = 0
          const controller = ctx.abortController()
          const reason = new Error(`after ${n}`)
          if (n > 1) afterTry(n, () => setTimeout(() => controller.abort(reason), 5))
          const { signal } = controller
          const run = locks.transaction('a', { retry: { deadlock: 200 }, signal }, async (manager) => {
            await victim(manager).finally(() => {
              if (n === 1) controller.abort(reason)
            })
          })
          expect(await settlesWithin(10_000, 'the transaction', reasonOf(run))).to.equal(reason)
          expect(tries).to.equal(n)
        }
        await expectUnlocked()
      })

      it('comes with close(), between two tries', async () => {
        pauseForLong()
        let closed: Promise<void> | undefined
        afterTry(2, () => setTimeout(() => void (closed = locks.close()), 5))
        const run = locks.transaction('a', { retry: { deadlock: 200 } }, (manager) => victim(manager))
        const error = await settlesWithin(10_000, 'the transaction', rejection(run, NamedLockClosedError))
        isDeadlock(error.cause)
        expect(error.message)
          .to.match(/'a'/)
          .and.match(/rolled back/)
        await settlesWithin(1_000, 'close()', closed!)
        expect(tries).to.equal(2)
        locks = await ctx.service({}, dataSource)
        await expectUnlocked()
      })

      it('does not depend on the timeout, which is for the lock', async () => {
        const lock = await locks.acquire('a')
        const call = { retry: { deadlock: 3 }, timeout: 400 }
        await rejection(
          locks.transaction('a', call, (manager) => victim(manager)),
          NamedLockTimeoutError,
        )
        expect(tries).to.equal(0)
        await lock.release()
        await locks.transaction('a', call, async (manager) => {
          await sleep(250) // two tries last longer than the timeout
          if (tries < 3) await victim(manager)
        })
        expect(tries).to.equal(3)
      })

      it('is checked as an option, and belongs to transactions alone', async () => {
        const work = (): undefined => undefined
        const wrong: [unknown, RegExp][] = [
          [3, /^transaction: retry: .*\{ deadlock: 3 \}/],
          [null, /^transaction: retry/],
          [{ dedlock: 3 }, /^transaction: retry: there is no option 'dedlock'/],
          [{ deadlock: -1 }, /^transaction: retry\.deadlock must be a whole number from 0 to 1000; got -1/],
          [{ deadlock: 1.5 }, /retry\.deadlock/],
          [{ deadlock: '3' }, /retry\.deadlock/],
          [{ serialization: Infinity }, /retry\.serialization/],
          [{ serialization: 1_001 }, /retry\.serialization/],
        ]
        for (const [retry, message] of wrong) {
          const error = await rejection(locks.transaction('a', { retry } as object, work), NamedLockConfigurationError)
          expect(error.message).to.match(message)
          const decorate = () => WithNamedLock('a', '5s', { transaction: true, retry } as object)
          expect(decorate).to.throw(NamedLockConfigurationError, /^@WithNamedLock: retry/)
        }
        const retry = { deadlock: 3 }
        expect(() => WithNamedLock('a', '5s', { retry })).to.throw(
          NamedLockConfigurationError,
          /^@WithNamedLock: retry .*transaction: true/,
        )
        await rejection(locks.withLock('a', { retry } as object, work), NamedLockConfigurationError)
        await rejection(locks.acquire('a', { retry } as object), NamedLockConfigurationError)
        await dataSource.transaction(async (manager) => {
          await rejection(locks.lockTransaction(manager, 'a', { retry } as object), NamedLockConfigurationError)
        })
      })
    },
    [...typeorms],
    'core',
  )
})
