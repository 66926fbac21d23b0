import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import {
  NamedLockConfigurationError,
  NamedLockDeadlockError,
  NamedLockReentrancyError,
  NamedLockTimeoutError,
  type NamedLockService,
} from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import type { DataSource } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { Stock } from './support/stock.js'

describe('lockTransaction', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)
    const keyOf = (name: string) => ctx.keyOf(name)
    const holderOf = (name: string) => ctx.outsider.holderOf(keyOf(name))

    beforeEach(() => stock.fill(2))

    async function open(options = {}): Promise<{ dataSource: DataSource; locks: NamedLockService }> {
      const dataSource = await ctx.dataSource()
      return { dataSource, locks: await ctx.service(options, dataSource) }
    }

    it("holds the lock on the transaction's own connection until that has ended", async () => {
      const { dataSource, locks } = await open()
      await dataSource.transaction(async (manager) => {
        expect(await locks.lockTransaction(manager, 'a')).to.equal(undefined)
        const [row] = await manager.query('SELECT CONNECTION_ID() AS id')
        expect(await holderOf('a')).to.equal(String(row.id))
        expect(await locks.isLocked('a')).to.equal(true)
        expect((await locks.holder('a'))?.connectionId).to.equal(String(row.id))
        await stock.add(manager)
      })
      expect(await holderOf('a')).to.equal(null)
      expect(await stock.count()).to.equal(1)
    })

    it('loses no update when it comes before the first read', async () => {
      const all = await Promise.all([1, 2, 3, 4].map(() => open()))
      const run = ({ dataSource, locks }: (typeof all)[number]) =>
        dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, 'a', { timeout: '20s' })
          await stock.write(manager, (await stock.read(manager)) + 1)
        })
      await Promise.all(Array.from({ length: 40 }, (_, i) => run(all[i % 4]!)))
      expect(await stock.count()).to.equal(40)
    })

    it('gives the connection back as it was, and leaves the QueryRunner as it was', async () => {
      const { dataSource, locks } = await open()
      const runner = dataSource.createQueryRunner()
      await runner.connect()
      const settings = async () => {
        const [row] = await runner.query(
          ctx.sql(
            'SELECT @@SESSION.wait_timeout AS wait, CONNECTION_ID() AS id',
            "SELECT current_setting('idle_in_transaction_session_timeout') AS wait, CONNECTION_ID() AS id",
          ),
        )
        return JSON.stringify(row)
      }
      const before = await settings()
      const methods = () => JSON.stringify(Object.getOwnPropertyNames(runner).sort())
      const methodsBefore = methods()
      for (const end of ['commitTransaction', 'rollbackTransaction'] as const) {
        await runner.startTransaction()
        await locks.lockTransaction(runner.manager, ['a', 'b'])
        await runner[end]()
        expect(await holderOf('a')).to.equal(null)
        expect(await holderOf('b')).to.equal(null)
        expect(await settings()).to.equal(before)
        expect(methods()).to.equal(methodsBefore)
      }
      await runner.release()
    })

    it('is released after a COMMIT that a subscriber has made reject', async () => {
      const { dataSource, locks } = await open()
      dataSource.subscribers.push({
        afterTransactionCommit: () => {
          throw new Error('too late')
        },
      })
      const run = dataSource.transaction(async (manager) => {
        await locks.lockTransaction(manager, 'a')
        await stock.add(manager)
      })
      expect((await rejection(run)).message).to.equal('too late')
      expect(await holderOf('a')).to.equal(null)
      expect(await stock.count()).to.equal(1)
    })

    it('is lost with its connection, and heard of', async () => {
      const { dataSource, locks } = await open()
      const heard: string[] = []
      locks.on('acquired', ({ name }) => heard.push(`acquired ${name}`))
      locks.on('lost', ({ name }) => heard.push(`lost ${name}`))
      locks.on('released', ({ name }) => heard.push(`released ${name}`))
      const run = dataSource.transaction(async (manager) => {
        await locks.lockTransaction(manager, 'a')
        await stock.add(manager)
        await ctx.outsider.kill(String(await holderOf('a')))
        await until('the loss', () => heard.includes('lost a'))
      })
      await rejection(run)
      expect(await stock.count()).to.equal(0)
      await dataSource.transaction((manager) => locks.lockTransaction(manager, 'a'))
      expect(heard).to.deep.equal(['acquired a', 'lost a', 'acquired a', 'released a'])
    })

    it('needs a transaction that runs, of its own DataSource', async () => {
      const { dataSource, locks } = await open()
      const runner = dataSource.createQueryRunner()
      const wrong: unknown[] = [dataSource.manager, runner.manager, undefined, {}, dataSource]
      for (const manager of wrong) {
        await rejection(locks.lockTransaction(manager as EntityManager, 'a'), NamedLockConfigurationError)
      }
      await runner.connect()
      await rejection(locks.lockTransaction(runner.manager, 'a'), NamedLockConfigurationError)
      await runner.release()
      const other = await open()
      await other.dataSource.transaction((manager) =>
        rejection(locks.lockTransaction(manager, 'a'), NamedLockConfigurationError),
      )
      let kept: EntityManager | undefined
      await dataSource.transaction((manager) => Promise.resolve(void (kept = manager)))
      await rejection(locks.lockTransaction(kept!, 'a'), NamedLockConfigurationError)
      await dataSource.transaction(async (manager) => {
        await rejection(
          locks.lockTransaction(manager, 'a', { session: 'shared' } as object),
          NamedLockConfigurationError,
        )
      })
    })

    it('twice with one name follows the rule of re-entrance', async () => {
      const { dataSource, locks } = await open()
      const second = await ctx.service({}, dataSource)
      await dataSource.transaction(async (manager) => {
        await locks.lockTransaction(manager, 'a')
        for (const service of [locks, second]) {
          await rejection(service.lockTransaction(manager, 'a'), NamedLockReentrancyError)
          await rejection(service.lockTransaction(manager, ['b', 'a']), NamedLockReentrancyError)
          expect(await holderOf('b')).to.equal(null)
          await service.lockTransaction(manager, 'a', { reentrant: true })
          await service.lockTransaction(manager, ['a', `c ${service === locks}`], { reentrant: true })
        }
        await rejection(
          locks.withLock('a', () => undefined),
          NamedLockReentrancyError,
        )
        await locks.withLock('a', { reentrant: true }, () => undefined)
        expect(await holderOf('a')).to.not.equal(null)
      })
      for (const name of ['a', 'c true', 'c false']) expect(await holderOf(name)).to.equal(null)
    })

    it('shares a lock that the scope around the transaction holds, when that is asked for', async () => {
      const { dataSource, locks } = await open()
      await locks.withLock('a', async (lock) => {
        await dataSource.transaction(async (manager) => {
          await rejection(locks.lockTransaction(manager, 'a'), NamedLockReentrancyError)
          await locks.lockTransaction(manager, ['a', 'b'], { reentrant: true })
          await stock.add(manager)
        })
        expect(await holderOf('b')).to.equal(null)
        expect(lock.isHeld).to.equal(true)
        expect(await lock.verify()).to.equal(true)
      })
      expect(await holderOf('a')).to.equal(null)
    })

    it('waits on its own connection, in the queue with all others', async () => {
      const { dataSource, locks } = await open()
      const order: string[] = []
      const first = await locks.acquire('a')
      const ordinary = () => locks.withLock('a', { timeout: '10s' }, () => void order.push('withLock'))
      const inTransaction = () =>
        dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, 'a', { timeout: '10s' })
          order.push('lockTransaction')
        })
      const own = () => locks.transaction('a', { timeout: '10s' }, () => void order.push('transaction'))
      const runs: Promise<unknown>[] = []
      let waiting = 0
      locks.on('waiting', () => waiting++)
      for (const run of [ordinary, inTransaction, own, inTransaction, ordinary, own]) {
        runs.push(run())
        await until('it to queue', () => waiting === runs.length)
      }
      await first.release()
      await settlesWithin(5_000, 'all', Promise.all(runs))
      // `transaction` opens a connection when its turn comes: where that takes long, the lockTransaction behind it is served first.
      const isOwn = (one: string): boolean => one === 'lockTransaction'
      expect(order.filter((one) => !isOwn(one))).to.deep.equal(['withLock', 'transaction', 'withLock', 'transaction'])
      expect(order.indexOf('lockTransaction'), order.join()).to.equal(1)
      expect(order.lastIndexOf('lockTransaction'), order.join()).to.be.within(2, 3)
    })

    it('leaves the transaction usable after a timeout or an abort, on time', async () => {
      const { dataSource, locks } = await open()
      await ctx.outsider.getLock(keyOf('a'))
      await dataSource.transaction(async (manager) => {
        await stock.add(manager)
        const startedAt = performance.now()
        const error = await rejection(
          locks.lockTransaction(manager, ['0', 'a'], { timeout: 300 }),
          NamedLockTimeoutError,
        )
        // After its timeout a caller waits only briefly for the holder's name, which may need two new connections.
        if (error.holder) expect(error.holder.connectionId, error.message).to.equal(ctx.outsider.id)
        expect(performance.now() - startedAt).to.be.within(300, 1_500)
        expect(await holderOf('0'), 'all or none').to.equal(null)
        const controller = ctx.abortController()
        const aborted = rejection(locks.lockTransaction(manager, 'a', { signal: controller.signal, timeout: '1h' }))
        await until('it to block', async () =>
          (await ctx.outsider.userLocksOf(ctx.database)).some(({ status }) => status === 'PENDING'),
        )
        const reason = new Error('enough')
        controller.abort(reason)
        expect(await settlesWithin(2_000, 'the aborted call', aborted)).to.equal(reason)
        for (let i = 0; i < 20; i++) await stock.add(manager)
      })
      expect(await stock.count()).to.equal(21)
      await ctx.outsider.releaseLock(keyOf('a'))
    })

    it('does not wait with a timeout of 0', async () => {
      const { dataSource, locks } = await open()
      await ctx.outsider.getLock(keyOf('a'))
      await dataSource.transaction((manager) =>
        rejection(locks.lockTransaction(manager, 'a', { timeout: 0 }), NamedLockTimeoutError),
      )
      await ctx.outsider.releaseLock(keyOf('a'))
    })

    for (const where of ['processes', 'one process'] as const) {
      it(`taken in opposite order by two transactions of ${where}: one gets an error, the other goes on`, async () => {
        const one = await open()
        const two = where === 'processes' ? await open() : one
        let inside = 0
        const both = ({ dataSource, locks }: typeof one, first: string, second: string, row: number) =>
          dataSource.transaction(async (manager) => {
            await locks.lockTransaction(manager, first)
            await stock.add(manager, row)
            inside++
            await until('both inside', () => inside === 2)
            await locks.lockTransaction(manager, second, { timeout: '15s' })
          })
        const runs = await settlesWithin(
          12_000,
          'both',
          Promise.allSettled([both(one, 'a', 'b', 0), both(two, 'b', 'a', 1)]),
        )
        const failed = runs.filter((run) => run.status === 'rejected')
        expect(failed).to.have.length(1)
        expect(failed[0]?.reason).to.be.instanceOf(NamedLockDeadlockError)
        if (where === 'processes') {
          const { errno, code } = failed[0]!.reason.cause
          expect(errno ?? code).to.be.oneOf([3058, 1213, '40P01'])
        }
        expect((await stock.count(0)) + (await stock.count(1))).to.equal(1)
        expect(await holderOf('a')).to.equal(null)
        expect(await holderOf('b')).to.equal(null)
      })

      it(`and a transaction of the library, of ${where}, in opposite order: the same`, async () => {
        const one = await open()
        const two = where === 'processes' ? await open() : one
        let inside = 0
        const both = ({ locks }: typeof one, first: string, second: string, row: number) =>
          locks.transaction(first, async (manager) => {
            await stock.add(manager, row)
            inside++
            await until('both inside', () => inside === 2)
            await locks.lockTransaction(manager, second, { timeout: '15s' })
          })
        const runs = await settlesWithin(
          12_000,
          'both',
          Promise.allSettled([both(one, 'a', 'b', 0), both(two, 'b', 'a', 1)]),
        )
        const failed = runs.filter((run) => run.status === 'rejected')
        expect(failed).to.have.length(1)
        expect(failed[0]?.reason).to.be.instanceOf(NamedLockDeadlockError)
        expect((await stock.count(0)) + (await stock.count(1))).to.equal(1)
      })
    }

    it('takes the connection away from a transaction when its service is closed', async () => {
      const { dataSource, locks } = await open({ closeTimeout: 100 })
      const run = dataSource.transaction(async (manager) => {
        await locks.lockTransaction(manager, 'a')
        await stock.add(manager)
        await settlesWithin(3_000, 'close()', locks.close())
        await stock.add(manager)
      })
      await rejection(run)
      expect(await stock.count()).to.equal(0)
      expect(await ctx.outsider.getLock(keyOf('a'), 2)).to.equal(true)
      await ctx.outsider.releaseLock(keyOf('a'))
    })

    it('takes calls side by side in one transaction one after the other', async () => {
      const { dataSource, locks } = await open()
      await dataSource.transaction(async (manager) => {
        const names = ['a', 'b', 'c', 'd']
        await Promise.all(names.map((name) => locks.lockTransaction(manager, name)))
        for (const name of names) expect(await holderOf(name)).to.not.equal(null)
      })
      for (const name of ['a', 'b', 'c', 'd']) expect(await holderOf(name)).to.equal(null)
    })
  })
})
