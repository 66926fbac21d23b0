import { expect } from 'chai'
import type { QueryRunner } from 'typeorm'
import { NamedLockOutsideTransactionError, WithNamedLock, type NamedLockService } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import type { DataSource } from '../support/typeorms.js'
import { committedRows, openWorld, type Author, type Book, type Item } from './support/ambient-world.js'
import { forEachDatabase } from './support/each-database.js'

/** Statements that reach another connection than the transaction's, from code that does not use its manager. */
const elsewhere: Record<string, (dataSource: DataSource) => Promise<unknown>> = {
  'repository.find': (dataSource) => dataSource.getRepository<Item>('item').find(),
  'repository.save': (dataSource) => dataSource.getRepository<Item>('item').save({ call: 'x', n: 1 }),
  'manager.insert': (dataSource) => dataSource.manager.insert('item', { call: 'x', n: 1 }),
  'dataSource.query': (dataSource) => dataSource.query('SELECT 1'),
  'a query builder': (dataSource) => dataSource.createQueryBuilder().delete().from('item').execute(),
  'a stream': (dataSource) => dataSource.getRepository<Item>('item').createQueryBuilder('item').stream(),
  'dataSource.transaction': (dataSource) => dataSource.transaction(() => Promise.resolve()),
  'a QueryRunner': async (dataSource) => {
    const runner = dataSource.createQueryRunner()
    await runner.connect().finally(() => runner.release())
  },
}

describe('a statement outside of the transaction around it', () => {
  forEachDatabase((ctx) => {
    let dataSource: DataSource
    let locks: NamedLockService

    beforeEach(async () => {
      dataSource = await openWorld(ctx, { cache: true })
      locks = await ctx.service({}, dataSource)
    })

    it('is an error that shows the ways out, and is not sent', async () => {
      await locks.transaction('a', async (manager) => {
        for (const [what, send] of Object.entries(elsewhere)) {
          if (what === 'a stream' && ctx.isPostgres) continue // needs the package pg-query-stream
          const error = await rejection(send(dataSource), NamedLockOutsideTransactionError)
          expect(error.code).to.equal('OUTSIDE_TRANSACTION')
          expect(error.message, what)
            .to.match(/'a'/)
            .and.match(/locks\.manager/)
            .and.match(/ambientTransactions/)
            .and.match(/locks\.outside/)
        }
        await manager.insert('item', { call: 'mine', n: 1 })
      })
      expect(await committedRows(ctx)).to.equal(1)
    })

    it('is an error with a runner or a manager from before, too', async () => {
      const runner: QueryRunner = dataSource.createQueryRunner()
      await runner.connect()
      await runner.startTransaction()
      try {
        await locks.transaction('a', async () => {
          await rejection(runner.query('SELECT 1'), NamedLockOutsideTransactionError)
          await rejection(runner.manager.insert('item', { call: 'x', n: 1 }), NamedLockOutsideTransactionError)
        })
        await runner.manager.insert('item', { call: 'afterwards', n: 1 })
        await runner.commitTransaction()
      } finally {
        await runner.release()
      }
      expect(await committedRows(ctx)).to.equal(1)
    })

    it('is an error with ambient transactions, where a runner from before cannot take part', async () => {
      const runner: QueryRunner = dataSource.createQueryRunner()
      const ambient = await ctx.service({ ambientTransactions: true }, dataSource)
      await ambient.transaction('a', async () => {
        await rejection(runner.query('SELECT 1'), NamedLockOutsideTransactionError)
        await dataSource.query('SELECT 1')
      })
      await runner.release()
    })

    it('is an error in decorated methods, of one service or another', async () => {
      class Shop {
        constructor(
          readonly dataSource: DataSource,
          readonly locks: NamedLockService,
        ) {}
        @WithNamedLock('shop', '5s', { transaction: true })
        async sell(): Promise<void> {
          await this.dataSource.getRepository('item').insert({ call: 'x', n: 1 })
        }
      }
      await rejection(new Shop(dataSource, locks).sell(), NamedLockOutsideTransactionError)
      await rejection(new Shop(dataSource, await ctx.service({}, dataSource)).sell(), NamedLockOutsideTransactionError)
      expect(await committedRows(ctx)).to.equal(0)
    })

    it('is a warning, once in a transaction, or nothing, if that is wanted', async () => {
      const warnings: string[] = []
      const { emitWarning } = process
      process.emitWarning = (warning: string | Error, name?: unknown) =>
        void warnings.push(`${String(name)}: ${String(warning)}`)
      try {
        for (const outsideTransaction of ['warn', 'allow'] as const) {
          const service = await ctx.service({ outsideTransaction }, dataSource)
          for (let i = 0; i < 2; i++) {
            await service.transaction('a', async () => {
              await dataSource.query('SELECT 1')
              await dataSource.getRepository('item').insert({ call: outsideTransaction, n: 1 })
            })
          }
        }
      } finally {
        process.emitWarning = emitWarning
      }
      expect(warnings).to.have.length(2)
      for (const warning of warnings) expect(warning).to.match(/^NamedLockWarning: .*'a'.*locks\.outside/)
      expect(await committedRows(ctx)).to.equal(4)
    })

    it('is nothing to object to where it is no part of the transaction', async () => {
      const other = await ctx.dataSource()
      const items = dataSource.getRepository<Item>('item')
      let branch: Promise<unknown> | undefined
      let go: () => void = () => {}
      await locks.transaction('a', async (manager) => {
        branch = new Promise<void>((resolve) => (go = resolve)).then(() => items.insert({ call: 'late', n: 1 }))
        await other.query('SELECT 1')
        await locks.outside(() => items.insert({ call: 'outside', n: 1 }))
        await locks.outside(() => dataSource.transaction((one) => one.insert('item', { call: 'outside', n: 1 })))
        await manager.transaction((one) => one.insert('item', { call: 'savepoint', n: 1 }))
        await locks.transaction('a', (one) => one.insert('item', { call: 'nested', n: 1 }))
        await locks.lockTransaction(manager, 'b')
        await locks.isLocked('c')
        await locks.list()
      })
      go()
      await branch
      await locks.withLock('a', () => items.insert({ call: 'withLock', n: 1 }))
      await locks.withLock('a', { session: 'dedicated' }, () => items.insert({ call: 'dedicated', n: 1 }))
      await dataSource.transaction(async (manager) => {
        await locks.lockTransaction(manager, 'a')
        await items.insert({ call: 'lockTransaction', n: 1 })
      })
      expect(await committedRows(ctx)).to.equal(8)
    })

    it("is not taken for one in TypeORM's own work: relations, cascades, caches, subscribers", async () => {
      await locks
        .transaction('a', async (manager) => {
          await manager.save('author', { name: 'Ada', books: [{ title: 'a' }] }).catch((error: unknown) => {
            // The subscriber of the tests uses the DataSource, which is a mistake here.
            expect(error).to.be.instanceOf(NamedLockOutsideTransactionError)
          })
        })
        .catch(() => {}) // PostgreSQL fails the transaction
      await dataSource.getRepository<Author>('author').save({ name: 'Bob', books: [{ title: 'b' }] })
      await locks.transaction('a', async (manager) => {
        const [book] = await manager.getRepository<Book>('book').find({ cache: 1_000 })
        expect((await book!.author)!.name).to.be.a('string')
        expect(await manager.getRepository<Author>('author').find({ relations: { books: true } })).not.to.have.length(0)
        await manager.getRepository<Book>('book').softDelete({ id: book!.id! })
        expect(await manager.getRepository<Book>('book').find({ cache: 1_000 })).to.be.an('array')
        await manager.getTreeRepository('folder').save({ name: 'root' })
        expect(await manager.getTreeRepository('folder').findTrees()).to.have.length(1)
      })
    })
  })
})
