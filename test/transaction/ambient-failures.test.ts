import { expect } from 'chai'
import type { Repository } from 'typeorm'
import { WithNamedLock, type NamedLockService } from '../../src/index.js'
import { settlesWithin } from '../support/until.js'
import { openWorld, type Item } from './support/ambient-world.js'
import { forEachDatabase } from './support/each-database.js'

const CALLS = 1_000
const STATEMENTS = 5

/** A repeatable sequence of numbers from 0 to 1. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** How a call fails: not at all, by a throw of the work, or by an error of the database. */
type Failure = 'none' | 'throw' | 'statement'

/** Writes with an injected repository, in several ways, and fails at one of its statements. */
class Writer {
  constructor(
    readonly items: Repository<Item>,
    readonly locks: NamedLockService,
  ) {}

  @WithNamedLock((call: string) => `writer:${Number(call) % 7}`, '60s', { transaction: true })
  async write(call: string, failure: Failure, at: number, isParallel: boolean): Promise<void> {
    const statements = Array.from({ length: STATEMENTS }, (_, n) => () => this.#statement(call, n, n === at && failure))
    if (isParallel) await Promise.all(statements.map((run) => run()))
    else for (const run of statements) await run()
  }

  async #statement(call: string, n: number, failure: Failure | false): Promise<void> {
    const { manager } = this.items
    if (failure === 'throw') throw new Error('mine')
    if (failure === 'statement') await manager.query('INSERT INTO no_such_table VALUES (1)')
    if (n % 4 === 0) await this.items.insert({ call, n })
    else if (n % 4 === 1) await this.items.save({ call, n })
    else if (n % 4 === 2) await manager.transaction((one) => one.insert('item', { call, n }))
    else await this.items.createQueryBuilder().insert().values({ call, n }).execute()
  }
}

describe('calls that fail anywhere in an ambient transaction', () => {
  forEachDatabase((ctx) => {
    const seed = Math.floor(Math.random() * 2 ** 31)

    it(`leave no row, and the others leave all of theirs (seed ${seed})`, async () => {
      const random = randomFrom(seed)
      const dataSource = await openWorld(ctx)
      const locks = await ctx.service({ ambientTransactions: true }, dataSource)
      const writer = new Writer(dataSource.getRepository<Item>('item'), locks)
      const succeeded = new Set<string>()
      const left = Array.from({ length: CALLS }, (_, call) => String(call))
      const workers = Array.from({ length: 12 }, async () => {
        for (let call = left.pop(); call !== undefined; call = left.pop()) {
          const failure = (['none', 'throw', 'statement'] as const)[Math.floor(random() * 3)]!
          const at = Math.floor(random() * STATEMENTS)
          const writing = writer.write(call, failure, at, random() < 0.5)
          if (
            await writing.then(
              () => true,
              () => false,
            )
          )
            succeeded.add(call)
          else expect(failure, call).not.to.equal('none')
        }
      })
      await settlesWithin(100_000, 'all', Promise.all(workers))
      const rows = await dataSource.query('SELECT * FROM item')
      const counts = new Map<string, number>()
      for (const row of rows) counts.set(row.call, (counts.get(row.call) ?? 0) + 1)
      expect([...counts.keys()].filter((call) => !succeeded.has(call))).to.deep.equal([])
      for (const call of succeeded) expect(counts.get(call), call).to.equal(STATEMENTS)
      expect(succeeded.size).to.be.within(CALLS / 5, CALLS / 2)
    }).timeout(120_000)
  })
})
