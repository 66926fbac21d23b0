import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EntityManager } from 'typeorm'
import { NamedLockError, NamedLockLostError, type NamedLockService } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import type { DataSource, RawConnection } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { onStatement } from './support/on-statement.js'
import { Stock } from './support/stock.js'

/** What comes at the worst moment: while a transaction is about to end, or has just ended. */
describe('a transaction that ends at a bad moment', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)
    const keyOf = (name: string) => ctx.keyOf(name)

    beforeEach(() => stock.fill(2))

    async function open(options = {}): Promise<{ dataSource: DataSource; locks: NamedLockService }> {
      const dataSource = await ctx.dataSource()
      return { dataSource, locks: await ctx.service(options, dataSource) }
    }

    /** Calls `then` once, right before that statement is sent. */
    function once(dataSource: DataSource, pattern: RegExp, then: (connection: RawConnection) => void): void {
      let isOver = false
      onStatement(dataSource, pattern, (connection) => {
        if (isOver) return
        isOver = true
        then(connection)
      })
    }

    async function expectFree(...names: string[]): Promise<void> {
      for (const name of names) {
        await until(`'${name}' to be free`, async () => (await ctx.outsider.holderOf(keyOf(name))) === null)
      }
    }

    const cut = (connection: RawConnection) => {
      const { stream } = connection as unknown as { stream: { destroy(error: Error): void } }
      stream.destroy(Object.assign(new Error('cut'), { code: 'ECONNRESET' }))
    }

    it('has succeeded when the connection dies after the COMMIT, before the lock is given back', async () => {
      const { dataSource, locks } = await open()
      once(dataSource, /RELEASE_LOCK/, cut)
      const result = await locks.transaction('a', async (manager) => {
        await stock.add(manager)
        return 'result'
      })
      expect(result).to.equal('result')
      expect(await stock.count()).to.equal(1)
      await expectFree('a')
      await locks.transaction('a', (manager) => stock.add(manager))
      expect(await stock.count()).to.equal(2)
    })

    it('is not known to have succeeded when the service is closed while the COMMIT is under way', async () => {
      const { dataSource, locks } = await open({ closeTimeout: 0 })
      let closed: Promise<void> | undefined
      once(dataSource, /^COMMIT$/, () => void (closed = locks.close()))
      const error = await settlesWithin(
        5_000,
        'the transaction',
        locks
          .transaction('a', (manager) => stock.add(manager))
          .then(
            () => undefined,
            (reason: unknown) => reason,
          ),
      )
      await settlesWithin(5_000, 'close()', closed!)
      if (error) expect(error).to.be.instanceOf(NamedLockLostError).and.have.property('outcome', 'unknown')
      else expect(await stock.count()).to.equal(1)
      await expectFree('a')
    })

    it('is not known to have succeeded when the DataSource is destroyed while the COMMIT is under way', async () => {
      const { dataSource, locks } = await open()
      let destroyed: Promise<void> | undefined
      once(dataSource, /^COMMIT$/, () => void (destroyed = dataSource.destroy()))
      const error = await settlesWithin(
        5_000,
        'the transaction',
        locks
          .transaction('a', (manager) => stock.add(manager))
          .then(
            () => undefined,
            (reason: unknown) => reason,
          ),
      )
      await settlesWithin(5_000, 'destroy()', destroyed!)
      if (error) expect(error).to.be.instanceOf(NamedLockLostError).and.have.property('outcome', 'unknown')
      else expect(await stock.count()).to.equal(1)
      await expectFree('a')
    })

    it('of the application is ended with its locks when the DataSource is destroyed in the middle', async () => {
      const { dataSource, locks } = await open()
      let destroyed: Promise<void> | undefined
      const run = dataSource.transaction(async (manager) => {
        await locks.lockTransaction(manager, 'a')
        await stock.add(manager)
        destroyed = dataSource.destroy()
        await stock.add(manager)
      })
      await settlesWithin(5_000, 'the transaction', rejection(run))
      await settlesWithin(5_000, 'destroy()', destroyed!)
      await expectFree('a')
      expect(await stock.count()).to.equal(0)
    })

    it('takes no notice of a signal that is aborted while the COMMIT is under way', async () => {
      const { dataSource, locks } = await open()
      const controller = ctx.abortController()
      once(dataSource, /^COMMIT$/, () => controller.abort())
      await locks.transaction('a', { signal: controller.signal }, (manager) => stock.add(manager))
      expect(await stock.count()).to.equal(1)
    })

    it('leaves no isolation level to the next one when it could not begin', async () => {
      ctx.notOnPostgres('the level is set inside of the transaction')
      const { dataSource, locks } = await open()
      let fail = true
      onStatement(dataSource, /^START TRANSACTION$/, () => {
        if (fail) throw new Error('not sent')
      })
      await rejection(locks.transaction('a', { isolation: 'READ COMMITTED' }, () => undefined))
      fail = false
      await locks.transaction('a', async (manager) => {
        const before = await stock.read(manager)
        await ctx.outsider.query(`UPDATE ${stock.table} SET n = n + 1 WHERE id = 0`)
        expect(await stock.read(manager)).to.equal(before)
      })
    })

    it('waits for a lock that its work has asked for and not awaited, and keeps nothing of it', async () => {
      const { dataSource, locks } = await open()
      await ctx.outsider.getLock(keyOf('b'))
      let late: Promise<unknown> | undefined
      let isBlocked = false
      const run = dataSource.transaction(async (manager) => {
        await locks.lockTransaction(manager, 'a')
        await stock.add(manager)
        // It may come before the COMMIT, after which there is nothing to hold it any more.
        late = locks.lockTransaction(manager, 'b', { timeout: '20s' }).catch((error: unknown) => error)
        await until('it to block', async () =>
          (await ctx.outsider.userLocksOf(ctx.database)).some(({ status }) => status === 'PENDING'),
        )
        isBlocked = true
      })
      await until('it to block', () => isBlocked)
      await ctx.outsider.releaseLock(keyOf('b'))
      await settlesWithin(10_000, 'the transaction', run)
      const error = await settlesWithin(10_000, 'the lock', late!)
      if (error) expect(error).to.be.instanceOf(NamedLockError)
      await expectFree('a', 'b')
      expect(await stock.count()).to.equal(1)
    })

    // PostgreSQL limits a wait, and the end of such a wait fails the transaction until it is back at its savepoint.
    for (const [title, statements] of [
      ['whose COMMIT comes while a lock is waited for', 'commit'],
      ['whose statements come while a lock is waited for', 'writes'],
    ] as const) {
      for (const owner of ['application', 'library'] as const) {
        it(`of the ${owner}, ${title}, keeps all that it has written`, async () => {
          const { dataSource, locks } = await open()
          await ctx.outsider.getLock(keyOf('b'))
          let late: Promise<unknown> = Promise.resolve()
          let released: Promise<unknown> = Promise.resolve()
          const work = async (manager: EntityManager): Promise<void> => {
            if (owner === 'application') await locks.lockTransaction(manager, 'a')
            await stock.add(manager)
            late = locks.lockTransaction(manager, 'b', { timeout: '20s' }).catch((error: unknown) => error)
            await until('it to block', async () =>
              (await ctx.outsider.userLocksOf(ctx.database)).some(({ status }) => status === 'PENDING'),
            )
            released = sleep(300).then(() => ctx.outsider.releaseLock(keyOf('b'))) // after several limits
            if (statements === 'commit') return
            await Promise.all([stock.add(manager), manager.query('SELECT 1')])
            expect(await late).to.equal(undefined)
          }
          await settlesWithin(
            10_000,
            'the transaction',
            owner === 'application' ? dataSource.transaction(work) : locks.transaction('a', work),
          )
          const error = await settlesWithin(10_000, 'the lock', late)
          if (error) expect(error).to.be.instanceOf(NamedLockError)
          await released
          await expectFree('a', 'b')
          expect(await stock.count()).to.equal(statements === 'commit' ? 1 : 2)
        })
      }
    }

    it('of two services keeps the lock of the one, and its lease, when the other is closed', async () => {
      const leaseOf = async (manager: EntityManager) => {
        const [row] = await manager.query(
          ctx.kind === 'postgres'
            ? `SELECT setting AS lease FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'`
            : 'SELECT @@SESSION.wait_timeout AS lease',
        )
        return Number(row.lease)
      }
      const { dataSource, locks: first } = await open()
      const second = await ctx.service({}, dataSource)
      await ctx.outsider.getLock(keyOf('b'))
      await dataSource.transaction(async (manager) => {
        await rejection(first.lockTransaction(manager, 'b', { timeout: 0 }))
        await second.lockTransaction(manager, 'a')
        const before = await leaseOf(manager)
        await settlesWithin(3_000, 'close()', first.close())
        await stock.add(manager)
        expect(await leaseOf(manager)).to.equal(before)
        expect(await ctx.outsider.holderOf(keyOf('a'))).to.not.equal(null)
      })
      await ctx.outsider.releaseLock(keyOf('b'))
      await expectFree('a')
      expect(await stock.count()).to.equal(1)
    })

    it('goes as the work has ended it, when the work does that itself', async () => {
      const { locks } = await open()
      await rejection(
        locks.transaction('a', async (manager: EntityManager) => {
          await stock.add(manager)
          await manager.queryRunner!.commitTransaction()
        }),
      )
      await rejection(
        locks.transaction('a', async (manager: EntityManager) => {
          await stock.add(manager)
          await manager.queryRunner!.rollbackTransaction()
        }),
      )
      expect(await stock.count()).to.equal(1)
      await locks.transaction('a', (manager) => stock.add(manager))
      expect(await stock.count()).to.equal(2)
    })

    it("is given back by a QueryRunner's own disposal", async () => {
      const { dataSource, locks } = await open()
      const runner = dataSource.createQueryRunner() as ReturnType<DataSource['createQueryRunner']> &
        Partial<AsyncDisposable>
      await runner.connect()
      await runner.startTransaction()
      await locks.lockTransaction(runner.manager, 'a')
      if (runner[Symbol.asyncDispose]) await runner[Symbol.asyncDispose]()
      else {
        await runner.commitTransaction()
        await runner.release()
      }
      await expectFree('a')
      expect(runner.isReleased).to.equal(true)
    })
  })
})
