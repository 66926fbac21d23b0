import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import { rejection } from '../support/rejection.js'
import { forEachDatabase } from './support/each-database.js'
import { Stock } from './support/stock.js'

/** A stream has no callback: its error is an event, and ends a transaction like any other. */
describe('a stream that fails so that the server ends the transaction', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)
    beforeEach(() => stock.fill(8))

    for (const way of ['transaction', 'nested', 'lockTransaction'] as const) {
      it(`lets nothing more through: ${way}`, async () => {
        ctx.notOnPostgres('every error ends it there')
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({}, dataSource)
        const other = dataSource.createQueryRunner()
        await other.startTransaction()
        // More rows than the victim has: the server ends the smaller transaction.
        for (const id of [0, 4, 5, 6]) await stock.add(other.manager, id)
        const work = async (manager: EntityManager): Promise<void> => {
          await stock.add(manager, 1)
          const stream = await manager.queryRunner?.stream(`SELECT * FROM ${stock.table} WHERE id = 0 FOR UPDATE`)
          const failed = new Promise<Error>((resolve) => stream?.once('error', resolve))
          stream?.resume()
          await sleep(200)
          const closes = locks.outside(() => stock.add(other.manager, 1))
          expect(await failed).to.have.property('errno', 1213)
          await closes
          await locks.outside(() => other.rollbackTransaction())
          await stock.add(manager, 2).catch(() => undefined)
          await stock.add(manager, 3).catch(() => undefined)
        }
        const result =
          way === 'transaction'
            ? locks.transaction('a', work)
            : way === 'nested'
              ? locks.transaction('a', () => locks.transaction('a', work))
              : dataSource.transaction(async (manager) => {
                  await locks.lockTransaction(manager, 'a')
                  await work(manager)
                })
        const error = (await rejection(result)) as { driverError?: { errno?: number } }
        expect(error.driverError?.errno).to.equal(1213)
        await other.release()
        expect([await stock.count(1), await stock.count(2), await stock.count(3)]).to.deep.equal([0, 0, 0])
      })
    }
  })
})
