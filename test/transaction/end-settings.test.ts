import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import type { NamedLockService } from '../../src/index.js'
import { forEachOwnServer } from '../support/conformance.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { Stock } from './support/stock.js'

/** Settings of a server that end transactions early, or begin the next one at once. */
describe('the end of a transaction, by the settings of the server', () => {
  forEachOwnServer(
    (ctx) => {
      const stock = new Stock(ctx)
      const defaults = { autocommit: '1', completion_type: 'NO_CHAIN' }

      beforeEach(() => stock.fill(4))
      afterEach(() => set(defaults))

      /** For connections from now on. */
      async function set(settings: Partial<typeof defaults>): Promise<void> {
        for (const [name, value] of Object.entries(settings))
          await ctx.outsider.query(`SET GLOBAL ${name}=${name === 'autocommit' ? value : `'${value}'`}`)
      }

      it('innodb_rollback_on_timeout: work that tries the statement again has nothing committed', async () => {
        type Way = (locks: NamedLockService, work: (manager: EntityManager) => Promise<unknown>) => Promise<unknown>
        const ways: Record<string, Way> = {
          transaction: (locks, work) => locks.transaction('a', work),
          nested: (locks, work) => locks.transaction('a', () => locks.transaction('a', work)),
          lockTransaction: (locks, work) =>
            locks.dataSource.transaction(async (manager) => {
              await locks.lockTransaction(manager, 'a')
              return work(manager)
            }),
        }
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({}, dataSource)
        const blocker = (await ctx.dataSource()).createQueryRunner()
        for (const [way, run] of Object.entries(ways)) {
          await blocker.startTransaction()
          await stock.write(blocker.manager, 0, 1)
          const error = await reasonOf(
            run(locks, async (manager) => {
              await manager.query('SET innodb_lock_wait_timeout = 1')
              await stock.add(manager, 0)
              const timedOut = (await rejection(stock.add(manager, 1))) as { errno?: number }
              expect(timedOut.errno).to.equal(1205)
              await blocker.rollbackTransaction()
              await stock.add(manager, 1).catch(() => undefined)
              await stock.add(manager, 2).catch(() => undefined)
            }),
          )
          expect((error as { driverError?: { errno?: number } }).driverError?.errno, way).to.equal(1205)
          expect([await stock.count(0), await stock.count(1), await stock.count(2)], way).to.deep.equal([0, 0, 0])
          await locks.transaction('a', (manager) => stock.add(manager, 3))
        }
        expect(await stock.count(3)).to.equal(3)
        await blocker.release()
      }).timeout(60_000)

      it('autocommit and completion_type: no transaction is left to the next holder, or to the pool', async () => {
        for (const settings of [{ autocommit: '0' }, { completion_type: 'CHAIN' }, { completion_type: 'RELEASE' }]) {
          await stock.fill(4)
          await set({ ...defaults, ...settings })
          const what = JSON.stringify(settings)
          const dataSource = await ctx.dataSource()
          const locks = await ctx.service({}, dataSource)
          for (let i = 0; i < 3; i++) await locks.transaction('a', (manager) => stock.add(manager))
          expect(await stock.count(), what).to.equal(3)
          await locks.withLock('a', { session: 'dedicated' }, async ({ manager }) => {
            await stock.read(manager)
            if (settings.autocommit === '0') await stock.add(manager, 1)
          })
          // Nothing old is seen by the next one, and nothing of the one before is committed later.
          await ctx.outsider.query(`UPDATE ${stock.table} SET n = 10 WHERE id = 0`)
          await locks.withLock('a', { session: 'dedicated' }, async ({ manager }) => {
            expect(await stock.read(manager), what).to.equal(10)
          })
          const open = await ctx.outsider.query(
            'SELECT p.ID AS id, t.trx_query, p.INFO, p.COMMAND FROM information_schema.INNODB_TRX t ' +
              `JOIN information_schema.PROCESSLIST p ON p.ID = t.trx_mysql_thread_id WHERE p.DB = '${ctx.database}'`,
          )
          expect(open, `${what}: transactions while nothing runs`).to.deep.equal([])
          await locks.close()
          const [row] = await dataSource.query('SELECT @@SESSION.autocommit AS a, @@SESSION.completion_type AS c')
          expect([String(row.a), row.c], what).to.deep.equal([
            settings.autocommit ?? '1',
            settings.completion_type ?? 'NO_CHAIN',
          ])
          await dataSource.query('COMMIT AND NO CHAIN NO RELEASE')
          expect(await stock.count(1), what).to.equal(0)
        }
      }).timeout(60_000)
    },
    ['--innodb-rollback-on-timeout=ON'],
  )
})
