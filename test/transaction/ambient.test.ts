import { expect } from 'chai'
import type { QueryRunner, Repository } from 'typeorm'
import {
  NamedLock,
  NamedLockConfigurationError,
  NamedLockError,
  NamedLockService,
  WithNamedLock,
} from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { borrowedConnections, type DataSource } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import {
  clearWorld,
  committedRows,
  openWorld,
  type Author,
  type Book,
  type Folder,
  type Item,
} from './support/ambient-world.js'
import { forEachDatabase } from './support/each-database.js'
import { onStatement } from './support/on-statement.js'

const mine = new Error('mine')

/** What an application has at hand before any transaction: injected, or made at its start. */
function tools(dataSource: DataSource) {
  const items = dataSource.getRepository<Item>('item')
  class Items extends (items.constructor as typeof Repository<Item>) {
    async addOne(call: string): Promise<void> {
      await this.insert({ call, n: 1 })
    }
  }
  return {
    dataSource,
    manager: dataSource.manager,
    items,
    authors: dataSource.getRepository<Author>('author'),
    books: dataSource.getRepository<Book>('book'),
    folders: dataSource.getTreeRepository<Folder>('folder'),
    custom: new Items('item', dataSource.manager),
    extended: items.extend({
      async addTwo(this: Repository<Item>, call: string) {
        await this.insert([
          { call, n: 1 },
          { call, n: 2 },
        ])
      },
    }),
  }
}
type Tools = ReturnType<typeof tools>

/** Ways to write; each leaves rows. */
const writes: Record<string, (its: Tools) => Promise<unknown>> = {
  'repository.save': ({ items }) => items.save({ call: 'save', n: 1 }),
  'repository.insert': ({ items }) => items.insert({ call: 'insert', n: 1 }),
  'a repository that is looked up': ({ dataSource }) =>
    dataSource.getRepository<Item>('item').save({ call: 'x', n: 1 }),
  'a class that extends Repository': ({ custom }) => custom.addOne('custom'),
  'repository.extend': ({ extended }) => extended.addTwo('extended'),
  'manager.save': ({ manager }) => manager.save('item', { call: 'manager', n: 1 }),
  'repository.manager': ({ items }) => items.manager.insert('item', { call: 'its manager', n: 1 }),
  'manager.upsert': ({ manager }) => manager.upsert('author', { name: 'upsert' }, ['name']),
  'dataSource.query': ({ dataSource }) =>
    dataSource.query("INSERT INTO item (call, n) VALUES ('query', 1)".replace('call', callColumn(dataSource))),
  'manager.query': ({ manager, dataSource }) =>
    manager.query(`INSERT INTO item (${callColumn(dataSource)}, n) VALUES ('query', 1)`),
  'dataSource.createQueryBuilder': ({ dataSource }) =>
    dataSource.createQueryBuilder().insert().into('item').values({ call: 'builder', n: 1 }).execute(),
  'a query builder in a transaction of its own': ({ items }) =>
    items.createQueryBuilder().insert().values({ call: 'builder', n: 1 }).useTransaction(true).execute(),
  'a cascade, and a subscriber': ({ authors }) =>
    authors.save({ name: 'Ada', books: [{ title: 'a' }, { title: 'b' }] }),
  'a tree': async ({ folders }) => {
    const root = await folders.save({ name: 'root' })
    await folders.save({ name: 'leaf', parent: root })
  },
  'dataSource.transaction': ({ dataSource }) =>
    dataSource.transaction(async (manager) => {
      await manager.insert('item', { call: 'inner manager', n: 1 })
      await dataSource.getRepository('item').insert({ call: 'inner repository', n: 1 })
    }),
  'manager.transaction in itself': ({ manager, items }) =>
    manager.transaction(() => manager.transaction(() => items.insert({ call: 'inmost', n: 1 }))),
  'a QueryRunner': async ({ dataSource }) => {
    const runner = dataSource.createQueryRunner()
    await runner.connect()
    await runner.startTransaction()
    await runner.manager.insert('item', { call: 'runner', n: 1 })
    await runner.commitTransaction()
    await runner.release()
  },
}

function callColumn(dataSource: DataSource): string {
  return dataSource.driver.escape('call')
}

/** Ways to read, after `repository.save` and the cascade: each finds what is not committed yet. */
const reads: Record<string, (its: Tools) => Promise<number>> = {
  find: async ({ items }) => (await items.find()).length,
  findBy: async ({ items }) => (await items.findBy({ call: 'save' })).length,
  count: ({ items }) => items.count(),
  exists: async ({ items }) => Number(await items.existsBy({ call: 'save' })),
  'a cached find': async ({ items }) => (await items.find({ cache: 10 })).length,
  'an eager relation': async ({ authors }) => ((await authors.findOneByOrFail({ name: 'Ada' })).books as Book[]).length,
  'a lazy relation': async ({ books }) => {
    const [book] = await books.find()
    return Number((await book!.author)!.name === 'Ada')
  },
  'a locking read': async ({ items }) =>
    (await items.createQueryBuilder('item').setLock('pessimistic_write').getMany()).length,
  getManyAndCount: async ({ items }) => (await items.createQueryBuilder('item').getManyAndCount())[1],
  'a stream': async ({ items, dataSource }) => {
    if (dataSource.options.type === 'postgres') return 1 // needs the package pg-query-stream
    const stream = await items.createQueryBuilder('item').stream()
    let rows = 0
    await new Promise<void>((resolve, reject) => {
      stream.on('data', () => rows++)
      stream.on('end', resolve)
      stream.on('error', reject)
    })
    return rows
  },
  'dataSource.query': async ({ dataSource }) => (await dataSource.query('SELECT id FROM item')).length,
  findTrees: async ({ folders }) => {
    const root = await folders.save({ name: 'root' })
    await folders.save({ name: 'leaf', parent: root })
    return (await folders.findTrees()).length
  },
}

describe('ambient transactions', () => {
  forEachDatabase((ctx) => {
    let dataSource: DataSource
    let locks: NamedLockService
    let its: Tools

    beforeEach(async () => {
      dataSource = await openWorld(ctx, { cache: true })
      its = tools(dataSource)
      locks = await ctx.service({ ambientTransactions: true }, dataSource)
    })

    const rows = () => committedRows(ctx)

    it('have everything that is written in them, or nothing', async () => {
      for (const [way, write] of Object.entries(writes)) {
        const error = await locks
          .transaction('a', async () => {
            await write(its)
            expect(await rows(), `${way}, before the COMMIT`).to.equal(0)
            throw mine
          })
          .catch((reason: unknown) => reason)
        expect(error, way).to.equal(mine)
        expect(await rows(), `${way}, after a throw`).to.equal(0)
        await locks.transaction('a', () => write(its))
        expect(await rows(), `${way}, after the COMMIT`).to.be.greaterThan(0)
        await clearWorld(ctx)
      }
    }).timeout(60_000)

    it('show everything that is written in them', async () => {
      await locks.transaction('a', async () => {
        await its.items.save({ call: 'save', n: 1 })
        await its.authors.save({ name: 'Ada', books: [{ title: 'a' }] })
        for (const [way, read] of Object.entries(reads)) expect(await read(its), way).to.be.greaterThan(0)
      })
    })

    it('take one connection, for many branches at a time', async () => {
      const small = await ctx.dataSource({ poolSize: 3 })
      const service = await ctx.service({ ambientTransactions: true }, small)
      await settlesWithin(
        10_000,
        'all',
        service.transaction('a', () => Promise.all(Array.from({ length: 20 }, () => small.query('SELECT 1')))),
      )
      expect(borrowedConnections(small)).to.be.at.most(2)
    })

    it("leave nothing to the driver's own queue, where pg 9 takes nothing while a statement is under way", async () => {
      const busy: string[] = []
      onStatement(dataSource, /AS parallel/, (connection, sql) => {
        if ((connection as { readyForQuery?: boolean }).readyForQuery === false) busy.push(sql)
      })
      await locks.transaction('a', async (manager) => {
        const branches = Array.from({ length: 9 }, (_, n) => dataSource.query(`SELECT ${n} AS parallel`))
        const direct = manager.queryRunner!.query('SELECT 9 AS parallel')
        const values = (await Promise.all([...branches, direct])).map(([row]) => Number(row.parallel))
        expect(values).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      })
      expect(busy).to.deep.equal([])
    })

    it('are used by decorated methods', async () => {
      class Shop {
        constructor(
          readonly items: Repository<Item>,
          readonly locks: NamedLockService,
        ) {}
        @WithNamedLock('stock', '5s', { transaction: true })
        async take(fail: boolean): Promise<number> {
          await this.items.decrement({ call: 'stock' }, 'n', 1)
          if (fail) throw mine
          return (await this.items.findOneByOrFail({ call: 'stock' })).n
        }
      }
      await its.items.insert({ call: 'stock', n: 40 })
      const shop = new Shop(its.items, locks)
      expect(await shop.take(true).catch((error: unknown) => error)).to.equal(mine)
      expect((await its.items.findOneByOrFail({ call: 'stock' })).n).to.equal(40)
      expect(await shop.take(false)).to.equal(39)
      expect((await its.items.findOneByOrFail({ call: 'stock' })).n).to.equal(39)
    })

    it('leave out what is outside, which stays after a rollback and holds the lock all the same', async () => {
      const error = await locks
        .transaction('a', async (manager) => {
          await its.items.insert({ call: 'inside', n: 1 })
          const value = await locks.outside(async () => {
            expect(locks.manager).to.equal(dataSource.manager)
            expect(NamedLock.current('a')?.isHeld).to.equal(true)
            expect(await its.items.count()).to.equal(0)
            await its.items.insert({ call: 'audit', n: 1 })
            await dataSource.transaction((inner) => inner.insert('item', { call: 'audit 2', n: 1 }))
            await locks.withLock('another', () => its.items.insert({ call: 'audit 3', n: 1 }))
            await locks.transaction('a third', async () => {
              await its.items.insert({ call: 'audit 4', n: 1 })
              expect(await its.items.count()).to.equal(4)
            })
            return 'done'
          })
          expect(value).to.equal('done')
          for (const inner of [manager, await dataSource.transaction((one) => Promise.resolve(one))]) {
            const refused = await rejection(locks.outside(() => inner.insert('item', { call: 'torn', n: 1 })))
            expect(refused.message).to.match(/locks\.outside.*EntityManager of the transaction/)
          }
          expect(locks.manager).to.equal(manager)
          expect(await its.items.countBy({ call: 'inside' })).to.equal(1)
          throw mine
        })
        .catch((reason: unknown) => reason)
      expect(error).to.equal(mine)
      expect((await its.items.find({ order: { call: 'ASC' } })).map(({ call }) => call)).to.deep.equal([
        'audit',
        'audit 2',
        'audit 3',
        'audit 4',
      ])
      expect(locks.outside(() => 'at once')).to.equal('at once')
      expect(() => locks.outside(5 as never)).to.throw(NamedLockConfigurationError, /outside.*function/)
    })

    it('end with the work: a branch that outlives it writes nothing after a rollback, and freely after the COMMIT', async () => {
      for (const fails of [true, false]) {
        let go: () => void = () => {}
        let late: Promise<unknown> | undefined
        const gate = new Promise<void>((resolve) => (go = resolve))
        const call = locks
          .transaction('a', async () => {
            await its.items.insert({ call: 'in time', n: 1 })
            late = gate.then(() => its.items.insert({ call: 'late', n: 1 }))
            if (fails) throw mine
          })
          .catch((error: unknown) => error)
        await call
        go()
        if (fails) {
          const error = await rejection(late!, NamedLockError)
          expect(error.code).to.equal('NOT_HELD')
          expect(error.message).to.match(/'a'.*rolled back.*locks\.outside/)
        } else await late
        expect(await rows()).to.equal(fails ? 0 : 2)
      }
      await its.items.insert({ call: 'afterwards', n: 1 })
    })

    it('run transactions inside them as savepoints, one after the other', async () => {
      await locks.transaction('a', async () => {
        await its.items.insert({ call: 'outer', n: 1 })
        const results = await Promise.allSettled(
          Array.from({ length: 6 }, (_, n) =>
            dataSource.transaction(async (manager) => {
              await manager.insert('item', { call: 'inner', n })
              await its.items.insert({ call: 'inner', n: n + 100 })
              if (n % 2) throw mine
            }),
          ),
        )
        expect(results.map(({ status }) => status)).to.deep.equal(
          [0, 1, 2, 3, 4, 5].map((n) => (n % 2 ? 'rejected' : 'fulfilled')),
        )
      })
      const inner = await its.items.find({ where: { call: 'inner' }, order: { n: 'ASC' } })
      expect(inner.map(({ n }) => n)).to.deep.equal([0, 2, 4, 100, 102, 104])
      expect(await its.items.countBy({ call: 'outer' })).to.equal(1)
    })

    it('refuse another isolation level, and an end of what was not begun', async () => {
      await locks.transaction('a', { isolation: 'READ COMMITTED' }, async () => {
        await dataSource.transaction('READ COMMITTED', () => its.items.insert({ call: 'same', n: 1 }))
        const error = await rejection(
          dataSource.transaction('SERIALIZABLE', () => Promise.resolve()),
          NamedLockConfigurationError,
        )
        expect(error.message).to.match(/isolation.*SERIALIZABLE/)
        const runner: QueryRunner = dataSource.createQueryRunner()
        await rejection(runner.startTransaction('SERIALIZABLE'), NamedLockConfigurationError)
        for (const end of ['commitTransaction', 'rollbackTransaction'] as const) {
          const refused = await rejection(runner[end](), NamedLockConfigurationError)
          expect(refused.message)
            .to.match(new RegExp(end))
            .and.match(/begun none/)
        }
        await runner.release()
      })
      expect(await rows()).to.equal(1)
    })

    it('refuse the end of a savepoint that is not the innermost', async () => {
      await locks.transaction('a', async () => {
        const [one, two] = [dataSource.createQueryRunner(), dataSource.createQueryRunner()]
        await one.startTransaction()
        await one.manager.insert('item', { call: 'one', n: 1 })
        await two.startTransaction()
        await two.manager.insert('item', { call: 'two', n: 1 })
        for (const end of ['commitTransaction', 'rollbackTransaction', 'release'] as const) {
          expect((await rejection(one[end](), NamedLockConfigurationError)).message, end).to.match(/later savepoint/)
        }
        await two.rollbackTransaction()
        await one.commitTransaction()
        for (const runner of [one, two]) await runner.release()
      })
      expect((await its.items.find()).map(({ call }) => call)).to.deep.equal(['one'])
    })

    it('roll back what a QueryRunner leaves open', async () => {
      await locks.transaction('a', async () => {
        await its.items.insert({ call: 'outer', n: 1 })
        const runner = dataSource.createQueryRunner()
        await runner.startTransaction()
        await runner.manager.insert('item', { call: 'left open', n: 1 })
        await runner.release()
      })
      expect((await its.items.find()).map(({ call }) => call)).to.deep.equal(['outer'])
    })

    it('hold locks of lockTransaction, with any manager that takes part', async () => {
      await locks.transaction('a', async (manager) => {
        for (const [name, one] of Object.entries({ b: dataSource.manager, c: manager, d: its.items.manager })) {
          await locks.lockTransaction(one, name)
          expect(await locks.isLocked(name), name).to.equal(true)
        }
        await dataSource.transaction((inner) => locks.lockTransaction(inner, 'e'))
        expect(await locks.isLocked('e')).to.equal(true)
      })
      for (const name of ['a', 'b', 'c', 'd', 'e']) expect(await locks.isLocked(name), name).to.equal(false)
    })

    it('are each a DataSource’s own, and do not reach code beside them', async () => {
      const other = await ctx.dataSource()
      const [own, another] = [
        async (one: DataSource) =>
          Number((await one.query(`SELECT ${ctx.isPostgres ? 'pg_backend_pid()' : 'CONNECTION_ID()'} AS id`))[0].id),
        other,
      ]
      await locks.transaction('a', async (manager) => {
        const id = Number(
          (await manager.query(`SELECT ${ctx.isPostgres ? 'pg_backend_pid()' : 'CONNECTION_ID()'} AS id`))[0].id,
        )
        expect(await own(dataSource)).to.equal(id)
        expect(await own(another)).not.to.equal(id)
        expect(await locks.outside(() => own(dataSource))).not.to.equal(id)
      })
      const ids = await Promise.all([
        locks.transaction('a', () => own(dataSource)),
        locks.transaction('b', () => own(dataSource)),
        own(dataSource),
      ])
      expect(new Set(ids).size).to.equal(3)
    })

    it('are given to running work until it has ended, also while the service closes', async () => {
      let go: () => void = () => {}
      const gate = new Promise<void>((resolve) => (go = resolve))
      let isInside = false
      const call = locks.transaction('a', async () => {
        await its.items.insert({ call: 'before', n: 1 })
        isInside = true
        await gate
        await its.items.insert({ call: 'after', n: 1 })
        throw mine
      })
      call.catch(() => {})
      await until('the work to run', () => isInside)
      const closed = locks.close()
      go()
      expect(await call.catch((error: unknown) => error)).to.equal(mine)
      await closed
      expect(await rows()).to.equal(0)
    })

    it('leave the DataSource as it was when the last service has closed', async () => {
      const plain = await ctx.dataSource()
      const before = [plain.createQueryRunner, plain.manager.transaction]
      const services = [new NamedLockService(plain, { ambientTransactions: true }), new NamedLockService(plain)]
      expect(plain.createQueryRunner).not.to.equal(before[0])
      await Promise.all([services[0]!.close(), services[0]!.close()])
      expect(plain.createQueryRunner).not.to.equal(before[0])
      await services[1]!.close()
      expect([plain.createQueryRunner, plain.manager.transaction]).to.deep.equal(before)
      expect(Object.keys(plain)).not.to.include('createQueryRunner')
    })
  })
})
