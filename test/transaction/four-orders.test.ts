import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EntityManager } from 'typeorm'
import { NamedLockLostError, type NamedLockService } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { Stock } from './support/stock.js'

/** NAMED_LOCK_CHAOS=full prints how many updates survive each order. */
const isFull = process.env.NAMED_LOCK_CHAOS === 'full'

type Work = (manager: EntityManager) => Promise<void>
type Order = (locks: NamedLockService, work: Work) => Promise<void>

const call = { timeout: '20s' } as const

/** As docs/transactions.md has them. */
const right: Record<string, Order> = {
  'transaction: lock and transaction on one connection': (locks, work) => locks.transaction('a', call, work),
  'transaction, and a manager that takes part': (locks, work) =>
    locks.transaction('a', call, () => work(locks.dataSource.manager)),
  'withLock around a transaction': (locks, work) => locks.withLock('a', call, () => locks.dataSource.transaction(work)),
  'lockTransaction before the first read': (locks, work) =>
    locks.dataSource.transaction(async (manager) => {
      await locks.lockTransaction(manager, 'a', call)
      await work(manager)
    }),
}
const wrong: Record<string, Order> = {
  'lockTransaction after a read': (locks, work) =>
    locks.dataSource.transaction(async (manager) => {
      await manager.query('SELECT n FROM stock')
      await locks.lockTransaction(manager, 'a', call)
      await work(manager)
    }),
  'withLock inside a transaction': (locks, work) =>
    locks.dataSource.transaction(async (manager) => {
      await locks.withLock('a', call, () => work(manager))
      await sleep(3)
    }),
  'no lock': (locks, work) => locks.dataSource.transaction(work),
}

describe('the order of lock and transaction', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)

    beforeEach(() => stock.fill(1))

    const open = () => ctx.service({ insideTransaction: 'allow', ambientTransactions: true })
    const increment = async (manager: EntityManager) => stock.write(manager, (await stock.read(manager)) + 1)

    it('loses no update of forty in the orders that are said to be right', async () => {
      const services = await Promise.all([1, 2, 3, 4].map(open))
      for (const [order, run] of Object.entries(isFull ? { ...right, ...wrong } : right)) {
        await stock.fill(1)
        let succeeded = 0
        const ten = async (locks: NamedLockService) => {
          for (let i = 0; i < 10; i++) {
            // Some servers notice some of the conflicts, and fail.
            await run(locks, increment).then(() => succeeded++, order in right ? undefined : () => undefined)
          }
        }
        await Promise.all(services.map(ten))
        const text = `${order}: ${await stock.count()} of ${succeeded} that reported success`
        if (isFull) console.log(`      ${text}`)
        if (order in right) expect([succeeded, await stock.count()], text).to.deep.equal([40, 40])
      }
    }).timeout(60_000)

    /** MariaDB from 11.6.2 on refuses a write to a row that has changed since the snapshot: nothing is lost there. */
    const refusesStaleWrites = async (): Promise<boolean> => {
      if (ctx.kind !== 'mariadb') return false
      const [row] = await ctx.outsider.query("SHOW VARIABLES LIKE 'innodb_snapshot_isolation'")
      return String(Object.values(row ?? {})[1]) === 'ON'
    }

    it('loses one when the lock ends before the COMMIT', async () => {
      const [one, two] = [await open(), await open()]
      let hasRead = false
      let next: Promise<void> | undefined
      await one.dataSource.transaction(async (manager) => {
        await one.withLock('a', () => increment(manager))
        next = two.withLock('a', () =>
          two.dataSource.transaction(async (other) => {
            const n = await stock.read(other)
            hasRead = true
            await stock.write(other, n + 1) // waits for the row, not for the news
          }),
        )
        await until('the next one to have read', () => hasRead)
      })
      if (await refusesStaleWrites()) expect(await rejection(next!)).to.have.nested.property('driverError.errno', 1020)
      else await next
      expect(await stock.count()).to.equal(1)
    })

    it('loses one when the transaction has read before its lock, at REPEATABLE READ; a locking read does not', async () => {
      const [one, two] = [await open(), await open()]
      const late = (isolation: 'REPEATABLE READ' | 'READ COMMITTED', forUpdate: string) =>
        one.dataSource.transaction(isolation, async (manager) => {
          await stock.read(manager)
          await two.transaction('a', increment)
          await one.lockTransaction(manager, 'a')
          const [row] = await manager.query(`SELECT n FROM ${stock.table} ${forUpdate}`)
          await stock.write(manager, Number(row.n) + 1)
        })
      // MariaDB from 11.6.2 on notices, and takes the transaction back (ER_CHECKREAD); PostgreSQL does, too (40001).
      const noticed = ({ driverError }: { driverError?: { errno?: number; code?: string } }) =>
        expect(driverError?.errno ?? driverError?.code).to.be.oneOf([1020, '40001'])
      await late('REPEATABLE READ', '').catch(noticed)
      expect(await stock.count(), 'of two').to.equal(1)
      const both = await late('REPEATABLE READ', 'FOR UPDATE').then(
        () => 2,
        (error) => {
          noticed(error)
          return 1
        },
      )
      expect(await stock.count()).to.equal(1 + both)
      await late('READ COMMITTED', '')
      expect(await stock.count()).to.equal(1 + both + 2)
    })

    /** The lock's connection is killed in the middle, and the next holder adds ten before the work goes on. */
    const killedInTheMiddle = async (run: Order): Promise<Error> => {
      const [locks, other] = [await open(), await open()]
      const key = ctx.keyOf('a')
      return rejection(
        run(locks, async (manager) => {
          const n = await stock.read(manager)
          await ctx.outsider.kill(String(await ctx.outsider.holderOf(key)))
          await other.transaction('a', async (next) => stock.write(next, (await stock.read(next)) + 10))
          await stock.write(manager, n + 1)
        }),
      )
    }

    it('decides the outcome of an update after its lock is killed: inside transaction() it fails', async () => {
      const error = await killedInTheMiddle((locks, work) => locks.transaction('a', work))
      expect(error).to.be.instanceOf(NamedLockLostError).and.to.include({ outcome: 'rolledBack' })
      expect(await stock.count()).to.equal(10)
    })

    it('… and in withLock around a transaction it overwrites the next one, before its caller gets the error', async () => {
      const error = await killedInTheMiddle((locks, work) =>
        locks.withLock('a', () => locks.dataSource.transaction(work)),
      )
      if (await refusesStaleWrites()) {
        expect(error).to.have.nested.property('driverError.errno', 1020)
        expect(await stock.count()).to.equal(10)
        return
      }
      expect(error).to.be.instanceOf(NamedLockLostError)
      expect((error as NamedLockLostError).outcome).to.equal(undefined)
      expect(await stock.count()).to.equal(1)
    })
  })
})
