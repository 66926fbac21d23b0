import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import {
  NamedLockInsideTransactionError,
  WithNamedLock,
  type NamedLockService,
  type NamedLockServiceOptions,
} from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import type { DataSource } from '../support/typeorms.js'
import { forEachDatabase } from './support/each-database.js'

class Worker {
  runs = 0

  constructor(protected readonly locks: NamedLockService) {}

  @WithNamedLock('decorated')
  async work(): Promise<void> {
    this.runs++
  }

  @WithNamedLock('decorated', '5s', { transaction: true })
  async workInTransaction(): Promise<void> {
    this.runs++
  }
}

class Repository {
  runs = 0

  constructor(
    readonly manager: EntityManager,
    protected readonly locks: NamedLockService,
  ) {}

  @WithNamedLock('decorated')
  async work(): Promise<void> {
    this.runs++
  }
}

/** All calls that release their lock at their own end. */
const scoped: Record<string, (locks: NamedLockService, work: () => void) => Promise<unknown>> = {
  withLock: (locks, work) => locks.withLock('new', work),
  'withLock with a connection of its own': (locks, work) => locks.withLock('new', { session: 'dedicated' }, work),
  tryWithLock: (locks, work) => locks.tryWithLock('new', work),
  transaction: (locks, work) => locks.transaction('new', work),
  'a decorated method': (locks) => new Worker(locks).work(),
  'a decorated method with transaction: true': (locks) => new Worker(locks).workInTransaction(),
}

/** Ways into a transaction that the library can know of. */
const transactions: Record<
  string,
  (dataSource: DataSource, locks: NamedLockService, work: () => Promise<void>) => Promise<unknown>
> = {
  transaction: (_dataSource, locks, work) => locks.transaction('outer', work),
  'dataSource.transaction': (dataSource, _locks, work) => dataSource.transaction(work),
  'dataSource.transaction with a level': (dataSource, _locks, work) => dataSource.transaction('SERIALIZABLE', work),
  'dataSource.manager.transaction': (dataSource, _locks, work) => dataSource.manager.transaction(work),
}

describe('a lock inside a transaction', () => {
  forEachDatabase((ctx) => {
    async function open(options: NamedLockServiceOptions = {}) {
      const dataSource = await ctx.dataSource()
      return { dataSource, locks: await ctx.service(options, dataSource) }
    }

    for (const [where, run] of Object.entries(transactions)) {
      it(`is an error in ${where}, which shows both ways out`, async () => {
        const { dataSource, locks } = await open()
        await run(dataSource, locks, async () => {
          for (const [what, call] of Object.entries(scoped)) {
            const error = await rejection(
              call(locks, () => expect.fail(`${what} ran its work`)),
              NamedLockInsideTransactionError,
            )
            expect(error.code).to.equal('INSIDE_TRANSACTION')
            expect(error.message, what)
              .to.match(/COMMIT/)
              .and.match(/locks\.transaction\('\w+', /)
            expect(error.message, what).to.match(/locks\.lockTransaction\(manager, '\w+'\)/)
          }
        })
        expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
      })

      it(`is a warning or nothing in ${where}, if that is wanted`, async () => {
        const warnings: string[] = []
        const { emitWarning } = process
        process.emitWarning = (warning: string | Error, name?: unknown) =>
          void warnings.push(`${String(name)}: ${String(warning)}`)
        try {
          for (const insideTransaction of ['warn', 'allow'] as const) {
            const { dataSource, locks } = await open({ insideTransaction })
            let runs = 0
            await run(dataSource, locks, async () => {
              expect(await locks.withLock('new', () => ++runs)).to.equal(1)
              expect(await locks.transaction('new', () => ++runs)).to.equal(2)
            })
            expect(runs).to.equal(2)
          }
          expect(warnings).to.have.length(2)
          for (const warning of warnings) expect(warning).to.match(/^NamedLockWarning: .*'new'.*lockTransaction/)
        } finally {
          process.emitWarning = emitWarning
        }
      })
    }

    it('is nothing to object to before, after and beside the transaction, and for another DataSource', async () => {
      const { dataSource, locks } = await open()
      const other = await open()
      let branch: Promise<unknown> | undefined
      let go: (() => void) | undefined
      await dataSource.transaction(async () => {
        await other.locks.withLock('new', () => undefined)
        branch = new Promise<void>((resolve) => (go = resolve)).then(() => locks.withLock('late', () => 'late'))
      })
      await locks.withLock('new', () => undefined)
      go?.()
      expect(await branch).to.equal('late')
      const gate = new Promise<void>((resolve) => (go = resolve))
      const running = dataSource.transaction(() => gate)
      await locks.withLock('beside', () => undefined)
      go?.()
      await running
    })

    it('is nothing to object to when the name is held already, or the lock is a handle', async () => {
      const { dataSource, locks } = await open()
      await locks.transaction('a', async () => {
        await locks.withLock('a', { reentrant: true }, () => undefined)
        await rejection(
          locks.withLock(['a', 'b'], { reentrant: true }, () => undefined),
          NamedLockInsideTransactionError,
        )
        const lock = await locks.acquire('handle')
        await lock.release()
      })
      await dataSource.transaction(async (manager) => {
        await locks.lockTransaction(manager, 'a')
        await locks.withLock('a', { reentrant: true }, () => undefined)
      })
    })

    it("is seen by the manager of a decorated method's instance, where nothing else tells", async () => {
      const { dataSource, locks } = await open()
      const runner = dataSource.createQueryRunner()
      await runner.connect()
      const repository = new Repository(runner.manager, locks)
      await repository.work()
      await runner.startTransaction()
      await rejection(repository.work(), NamedLockInsideTransactionError)
      const permissive = new Repository(runner.manager, await ctx.service({ insideTransaction: 'allow' }, dataSource))
      await permissive.work()
      await runner.rollbackTransaction()
      await repository.work()
      expect([repository.runs, permissive.runs]).to.deep.equal([2, 1])
      await runner.release()
    })

    it('leaves nothing on the DataSource when the services are closed', async () => {
      const dataSource = await ctx.dataSource()
      const before = Object.getOwnPropertyNames(dataSource.manager).sort()
      const one = await ctx.service({}, dataSource)
      const two = await ctx.service({}, dataSource)
      await one.close()
      await dataSource.transaction(() =>
        rejection(
          two.withLock('new', () => undefined),
          NamedLockInsideTransactionError,
        ),
      )
      await two.close()
      expect(Object.getOwnPropertyNames(dataSource.manager).sort()).to.deep.equal(before)
      expect(
        await dataSource.transaction('READ COMMITTED', (manager) => manager.query('SELECT 1 AS one')),
      ).to.have.length(1)
    })
  })
})
