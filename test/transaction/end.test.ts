import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import {
  NamedLockConfigurationError,
  NamedLockError,
  NamedLockReentrancyError,
  type NamedLockService,
} from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import type { DataSource } from '../support/typeorms.js'
import { settlesWithin } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { Stock } from './support/stock.js'

/** What the work sends after its transaction has ended would be committed by itself. */
describe('the end of a transaction', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)

    beforeEach(() => stock.fill(8))

    async function open(): Promise<{ dataSource: DataSource; locks: NamedLockService }> {
      const dataSource = await ctx.dataSource()
      return { dataSource, locks: await ctx.service({}, dataSource) }
    }

    type Way = (
      locks: NamedLockService,
      name: string,
      work: (manager: EntityManager) => Promise<unknown>,
    ) => Promise<unknown>
    const ways: Record<string, Way> = {
      transaction: (locks, name, work) => locks.transaction(name, work),
      nested: (locks, name, work) => locks.transaction(name, () => locks.transaction(name, (manager) => work(manager))),
      lockTransaction: (locks, name, work) =>
        locks.dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, name)
          return work(manager)
        }),
    }

    it('stops branches of a Promise.all of which one has thrown, and leaves no row of theirs', async () => {
      const { locks } = await open()
      for (const [way, run] of Object.entries(ways)) {
        for (let round = 0; round < 15; round++) {
          const branches: Promise<unknown>[] = []
          const failed = run(locks, way, (manager) => {
            for (let id = 0; id < 4; id++) {
              const branch = async () => {
                for (let step = 0; step < 6; step++) {
                  await stock.add(manager, id)
                  if (id === 3 && step === 1) throw new Error('one of four')
                }
              }
              branches.push(branch())
            }
            return Promise.all(branches)
          })
          expect((await rejection(failed)).message).to.equal('one of four')
          const ends = await Promise.allSettled(branches)
          expect(ends.filter(({ status }) => status === 'rejected').length, way).to.equal(4)
        }
        for (let id = 0; id < 4; id++) expect(await stock.count(id), `${way}, row ${id}`).to.equal(0)
        await locks.transaction('after', (manager) => stock.add(manager, 7))
      }
      expect(await stock.count(7)).to.equal(3)
    }).timeout(60_000)

    it('by a lock timeout that rolls it back lets nothing more through', async function () {
      ctx.notOnPostgres('an error fails the transaction there, whatever it is')
      const { dataSource, locks } = await open()
      const [{ on }] = await dataSource.query('SELECT @@GLOBAL.innodb_rollback_on_timeout AS `on`')
      for (const [way, run] of Object.entries(ways)) {
        const blocker = (await ctx.dataSource()).createQueryRunner()
        await blocker.startTransaction()
        await stock.write(blocker.manager, 0, 2)
        const result = run(locks, `1205 ${way}`, async (manager) => {
          await manager.query('SET innodb_lock_wait_timeout = 1')
          await stock.add(manager, 0)
          await rejection(stock.add(manager, 2))
          await blocker.rollbackTransaction()
          await stock.add(manager, 2) // as the error says: try restarting
          await stock.add(manager, 1)
        })
        // The server's default rolls only the statement back: then all of it is there, together.
        if (Number(on)) await rejection(result)
        else await result
        await blocker.release()
      }
      const times = Number(on) ? 0 : 3
      expect([await stock.count(0), await stock.count(1), await stock.count(2)]).to.deep.equal([times, times, times])
    }).timeout(60_000)

    it('by a deadlock stops what was sent beside the victim', async () => {
      ctx.notOnPostgres('an error fails the transaction there, whatever it is')
      const { dataSource, locks } = await open()
      const other = dataSource.createQueryRunner()
      await other.startTransaction()
      await stock.add(other.manager, 0)
      await stock.add(other.manager, 4)
      await stock.add(other.manager, 5)
      const error = await rejection(
        locks.transaction('victim', async (manager) => {
          await stock.add(manager, 1)
          const waits = stock.add(manager, 0)
          const behind = stock.add(manager, 2)
          const closes = locks.outside(() => stock.add(other.manager, 1))
          await Promise.allSettled([waits, behind])
          await locks.outside(() => other.rollbackTransaction())
          await closes.catch(() => undefined)
        }),
      )
      expect((error as { driverError?: { errno?: number } }).driverError?.errno).to.equal(1213)
      await other.release()
      expect([await stock.count(1), await stock.count(2)]).to.deep.equal([0, 0])
    }).timeout(60_000)

    it('by a statement of the work lets nothing more through, and the error names the statement', async () => {
      const { locks } = await open()
      const enders = ctx.isPostgres
        ? ['ROLLBACK WORK', 'COMMIT WORK', 'END', 'COMMIT', 'ROLLBACK']
        : [`CREATE TABLE ${ctx.database}.made (id INT)`, 'COMMIT WORK', 'BEGIN', 'ROLLBACK WORK', 'COMMIT', 'ROLLBACK']
      for (const statement of enders) {
        const error = await rejection(
          locks.transaction('statement', async (manager) => {
            await manager.query(statement)
            await stock.add(manager, 6).catch(() => undefined)
          }),
          ctx.isPostgres || statement !== 'BEGIN' ? NamedLockConfigurationError : undefined,
        ).catch((reason: Error) => reason)
        if (statement !== 'BEGIN') {
          expect(error.message).to.include(statement)
          expect(await stock.count(6), statement).to.equal(0)
        } else await stock.fill(8)
      }
      // Also where nothing comes after it. What the QueryRunner itself ends and begins is another transaction.
      for (const statement of ['COMMIT', 'ROLLBACK']) {
        const last = locks.transaction('statement', (manager) => manager.query(statement))
        expect((await rejection(last, NamedLockConfigurationError)).message).to.include(`of its work: ${statement}.`)
      }
      await locks.transaction('statement', async ({ queryRunner }) => {
        await queryRunner!.rollbackTransaction()
        await queryRunner!.startTransaction()
        await stock.add(queryRunner!.manager, 6)
      })
      expect(await stock.count(6)).to.equal(1)
    })

    it('lets work go on after an error that ends only a statement', async () => {
      ctx.notOnPostgres('every error ends it there')
      const { locks } = await open()
      for (const [way, run] of Object.entries(ways)) {
        await run(locks, way, async (manager) => {
          await stock.add(manager, 0)
          await rejection(manager.query(`INSERT INTO ${stock.table} VALUES (0, 0)`))
          await stock.add(manager, 1)
        })
      }
      expect([await stock.count(0), await stock.count(1)]).to.deep.equal([3, 3])
    })

    it('of a dedicated lock is never left to the next holder, nor to the pool', async () => {
      const begins = ctx.isPostgres ? ['BEGIN'] : ['START TRANSACTION', 'SET autocommit=0']
      for (const begin of begins) {
        await stock.fill(8)
        const { dataSource, locks } = await open()
        await locks
          .withLock('open', { session: 'dedicated' }, async (lock) => {
            await lock.manager.query(begin)
            await stock.add(lock.manager, 5)
          })
          .catch(() => undefined)
        await locks.withLock('open', { session: 'dedicated' }, async (lock) => {
          expect(await stock.read(lock.manager, 5)).to.equal(0)
          await stock.write(lock.manager, 0, 5)
        })
        await locks.close()
        // Every connection of the pool autocommits its statements.
        const runners = Array.from({ length: 4 }, () => dataSource.createQueryRunner())
        await Promise.all(runners.map((runner, i) => stock.add(runner.manager, i)))
        await Promise.all(runners.map((runner) => runner.release()))
        for (let id = 0; id < 4; id++) expect(await stock.count(id), begin).to.equal(1)
        expect(await stock.count(5), begin).to.equal(0)
      }
    })

    it('finds a subscriber that takes the same name at once, and says that the transaction was committed', async () => {
      const events = ['beforeTransactionCommit', 'afterTransactionCommit', 'afterTransactionRollback'] as const
      for (const event of events) {
        for (const [way, run] of Object.entries(ways)) {
          const { dataSource, locks } = await open()
          let seen: Error | undefined
          let isIn = false
          ;(dataSource.subscribers as object[]).push({
            [event]: async () => {
              if (isIn) return
              isIn = true
              try {
                await locks.withLock(way, { timeout: '30s' }, () => undefined)
              } catch (error) {
                seen = error as Error
                throw error
              } finally {
                isIn = false
              }
            },
          })
          const result = run(locks, way, async (manager) => {
            await stock.add(manager)
            if (event === 'afterTransactionRollback') throw new Error('the work')
          })
          const error = await settlesWithin(10_000, `${way}, ${event}`, rejection(result))
          expect(seen, `${way}, ${event}`).to.be.instanceOf(NamedLockError)
          if (event === 'afterTransactionCommit' && way !== 'nested') {
            expect(seen).to.be.instanceOf(NamedLockReentrancyError)
            expect(await stock.count()).to.equal(1)
            if (way === 'transaction') {
              expect(error).to.include({ code: 'COMMITTED', outcome: 'committed' })
              expect(error.cause).to.equal(seen)
            }
          } else if (event !== 'afterTransactionCommit') expect(await stock.count()).to.equal(0)
          await stock.fill(8)
        }
      }
    }).timeout(60_000)
  })
})
