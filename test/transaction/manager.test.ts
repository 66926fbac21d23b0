import { expect } from 'chai'
import type * as typeorm from 'typeorm'
import type { EntityManager } from 'typeorm'
import { NamedLock, NamedLockOutsideTransactionError, NamedLockService, WithNamedLock } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import type { DataSource } from '../support/typeorms.js'
import { forEachDatabase } from './support/each-database.js'

interface Item {
  id: number
  n: number
}

const entity = {
  name: 'item',
  columns: { id: { type: 'int' as const, primary: true }, n: { type: 'int' as const } },
}
const mine = new Error('mine')

/** A service that reads and writes with what `locks.manager` gives: it takes part. */
class StockService {
  constructor(protected readonly locks: NamedLockService) {}

  @WithNamedLock((id: number) => `item:${id}`, '5s', { transaction: true })
  async take(id: number, fail = false): Promise<number> {
    const items = this.locks.manager.getRepository<Item>('item')
    const item = await items.findOneByOrFail({ id })
    await items.update({ id }, { n: item.n - 1 })
    if (fail) throw mine
    return item.n - 1
  }

  @WithNamedLock('both', '5s', { transaction: true })
  async takeTwice(id: number): Promise<void> {
    await this.#take(id)
    await this.#take(id)
  }

  async #take(id: number): Promise<void> {
    await this.locks.manager.decrement('item', { id }, 'n', 1)
  }
}

/** A repository class that was given a manager when it was made: that one is not the transaction's. */
class ItemRepository {
  constructor(
    readonly manager: EntityManager,
    protected readonly locks: NamedLockService,
  ) {}

  @WithNamedLock((id: number) => `item:${id}`, '5s', { transaction: true })
  async takeOutside(id: number): Promise<void> {
    await this.manager.decrement('item', { id }, 'n', 1)
    throw mine
  }

  @WithNamedLock((id: number) => `item:${id}`, '5s', { transaction: true })
  async takeInside(id: number): Promise<void> {
    await this.locks.manager.decrement('item', { id }, 'n', 1)
    throw mine
  }
}

/** A repository class as docs/transactions.md has it: of whichever TypeORM, with no service at hand. */
function repositoryClass({ Repository }: typeof typeorm) {
  class Items extends Repository<Item> {
    @WithNamedLock((id: number) => `item:${id}`, '5s', { transaction: true })
    async take(id: number): Promise<void> {
      const items = NamedLock.current()!.manager!.withRepository(this)
      const item = await items.findOneByOrFail({ id })
      await items.update({ id }, { n: item.n - 1 })
      throw mine
    }

    @WithNamedLock((id: number) => `item:${id}`, '5s', { transaction: true })
    async takeByItself(id: number): Promise<void> {
      await this.decrement({ id }, 'n', 1)
      throw mine
    }
  }
  return Items
}

describe('locks.manager', () => {
  forEachDatabase((ctx) => {
    let dataSource: DataSource
    let locks: NamedLockService

    beforeEach(async () => {
      await ctx.outsider.query(`DROP TABLE IF EXISTS ${ctx.database}.item`)
      await ctx.outsider.query(`CREATE TABLE ${ctx.database}.item (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB`)
      await ctx.outsider.query(`INSERT INTO ${ctx.database}.item VALUES (1, 10)`)
      dataSource = await ctx.dataSource({ entities: [entity] })
      locks = await ctx.service({}, dataSource)
    })

    const left = async () => Number(await ctx.outsider.value(`SELECT n FROM ${ctx.database}.item WHERE id = 1`))

    it("is the running transaction's, wherever in it, and else the DataSource's", async () => {
      expect(locks.manager).to.equal(dataSource.manager)
      const other = await ctx.service({}, dataSource)
      const stranger = await ctx.service()
      await locks.transaction('a', async (manager) => {
        const deep = async () => {
          await Promise.resolve()
          return locks.manager
        }
        expect(await deep()).to.equal(manager)
        expect(other.manager).to.equal(manager)
        expect(stranger.manager).to.equal(stranger.dataSource.manager)
        await locks.transaction('a', async () => expect(locks.manager).to.equal(manager))
        expect(locks.manager).to.equal(manager)
      })
      expect(locks.manager).to.equal(dataSource.manager)
      await locks.withLock('a', () => expect(locks.manager).to.equal(dataSource.manager))
      await dataSource.transaction(() => Promise.resolve(expect(locks.manager).to.equal(dataSource.manager)))
    })

    it("is each transaction's own when several run", async () => {
      const managers = await Promise.all(
        ['a', 'b', 'c'].map((name) =>
          locks.transaction(name, async (manager) => {
            await manager.query('SELECT 1')
            expect(locks.manager).to.equal(manager)
            return manager
          }),
        ),
      )
      expect(new Set(managers).size).to.equal(3)
    })

    it("is the DataSource's again in a branch that has outlived the transaction", async () => {
      let branch: Promise<EntityManager> | undefined
      let go: (() => void) | undefined
      await locks.transaction('a', () => {
        branch = new Promise<void>((resolve) => (go = resolve)).then(() => locks.manager)
      })
      go?.()
      expect(await branch).to.equal(dataSource.manager)
    })

    describe('in a method with transaction: true', () => {
      it('of a service: what its repositories do is committed with it', async () => {
        const service = new StockService(locks)
        const results = await Promise.all([1, 2, 3, 4, 5].map(() => service.take(1)))
        expect(results.sort()).to.deep.equal([5, 6, 7, 8, 9])
        expect(await left()).to.equal(5)
        await service.takeTwice(1)
        expect(await left()).to.equal(3)
      })

      it('of a service: and taken back with it', async () => {
        const service = new StockService(locks)
        expect(await rejection(service.take(1, true))).to.equal(mine)
        expect(await left()).to.equal(10)
      })

      it('of a repository class takes part, and the manager that the class was given does not', async () => {
        const repository = new ItemRepository(dataSource.manager, locks)
        expect(await rejection(repository.takeInside(1))).to.equal(mine)
        expect(await left()).to.equal(10)
        await rejection(repository.takeOutside(1), NamedLockOutsideTransactionError)
        expect(await left(), 'outside of the transaction').to.equal(10)
      })

      it("of a class derived from Repository takes part by the lock's manager, and not by itself", async () => {
        const Items = repositoryClass(ctx.typeorm.module)
        const items = new Items('item', dataSource.manager)
        expect(await rejection(items.take(1))).to.equal(mine)
        expect(await left()).to.equal(10)
        await rejection(items.takeByItself(1), NamedLockOutsideTransactionError)
        expect(await left(), 'outside of the transaction').to.equal(10)
        await ctx.adopt(NamedLockService.for(dataSource)).close()
      })

      it('of a repository class made from locks.manager: its own manager takes part, too', async () => {
        await rejection(
          locks.transaction('item:1', async () => {
            const repository = new ItemRepository(locks.manager, locks)
            await rejection(repository.takeOutside(1)) // a savepoint: the name is held
            await locks.manager.withRepository(dataSource.getRepository<Item>('item')).decrement({ id: 1 }, 'n', 1)
            throw mine
          }),
        )
        expect(await left()).to.equal(10)
      })
    })
  })
})
