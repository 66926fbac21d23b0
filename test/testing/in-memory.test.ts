import { expect } from 'chai'
import { EntitySchema, type EntityManager } from 'typeorm'
import {
  NamedLock,
  NamedLockConfigurationError,
  NamedLockError,
  NamedLockInsideTransactionError,
  NamedLockLostError,
  NamedLockService,
  NamedLockTimeoutError,
  WithNamedLock,
} from '../../src/index.js'
import { InMemoryNamedLockService, MemoryServer } from '../../src/testing/index.js'
import { rejection } from '../support/rejection.js'
import { typeorms } from '../support/typeorms.js'
import { until } from '../support/until.js'

interface Account {
  id: number
  balance: number
}

const accounts = new EntitySchema<Account>({
  name: 'account',
  columns: { id: { type: Number, primary: true }, balance: { type: Number } },
})

class Jobs {
  runs = 0
  constructor(readonly locks: NamedLockService<any>) {}

  @WithNamedLock('nightly', 20)
  async nightly(): Promise<number> {
    NamedLock.assertHeld('nightly')
    return ++this.runs
  }

  @WithNamedLock('nightly', 0, { onBusy: 'skip' })
  async optional(): Promise<number | undefined> {
    return ++this.runs
  }
}

describe('InMemoryNamedLockService', () => {
  it('is a NamedLockService, and needs nothing', async () => {
    await using locks = new InMemoryNamedLockService()
    expect(locks).to.be.instanceOf(NamedLockService)
    const jobs = new Jobs(locks)
    expect(await jobs.nightly()).to.equal(1)
    expect(() => NamedLock.assertHeld('nightly')).to.throw(/nightly/)
    expect(await locks.check()).to.deep.equal([])
  })

  it('simulates another holder of a lock, until it is released there', async () => {
    await using locks = new InMemoryNamedLockService()
    const jobs = new Jobs(locks)
    const elsewhere = locks.holdElsewhere('nightly')
    expect(await locks.isLocked('nightly')).to.equal(true)
    await rejection(jobs.nightly(), NamedLockTimeoutError)
    expect(await jobs.optional()).to.equal(undefined)
    expect(() => locks.holdElsewhere(['free', 'nightly'])).to.throw(NamedLockConfigurationError, 'nightly')
    expect(await locks.isLocked('free')).to.equal(false)
    const waiting = locks.acquire('nightly')
    elsewhere.release()
    await (await waiting).release()
    expect(await jobs.nightly()).to.equal(1)
  })

  it('simulates another reader: readers get in beside it, writers wait', async () => {
    await using locks = new InMemoryNamedLockService()
    const elsewhere = locks.holdElsewhere('prices', { mode: 'read' })
    expect((await locks.holder('prices'))?.mode).to.equal('read')
    await locks.withLock('prices', { mode: 'read', timeout: 0 }, () => {})
    const writing = locks.acquire('prices', { mode: 'write' })
    expect(await locks.tryAcquire('prices', { mode: 'write' })).to.equal(null)
    elsewhere.release()
    await (await writing).release()
  })

  it('simulates the loss of a lock', async () => {
    await using locks = new InMemoryNamedLockService()
    expect(() => locks.simulateLoss('report')).to.throw(NamedLockConfigurationError, 'report')
    let isTold = false
    const work = locks.withLock('report', async (lock) => {
      lock.signal.addEventListener('abort', () => (isTold = true))
      locks.simulateLoss('report')
      await until('the signal', () => isTold)
      expect(lock.isHeld).to.equal(false)
    })
    await rejection(work, NamedLockLostError)
    await locks.withLock('report', async (lock) => expect(await lock.verify()).to.equal(true))
  })

  it('excludes services with the same server, and no others', async () => {
    const server = new MemoryServer()
    await using one = new InMemoryNamedLockService({ server })
    await using two = new InMemoryNamedLockService({ server })
    await using other = new InMemoryNamedLockService()
    await using held = await one.acquire('a')
    expect(await two.tryAcquire('a')).to.equal(null)
    expect((await two.list()).map(({ name, holder }) => [name, holder.connectionId])).to.have.length(1)
    expect(await held.verify()).to.equal(true)
    await (await other.acquire('a')).release()
  })

  it('runs a transaction without a DataSource as work that has no EntityManager', async () => {
    await using locks = new InMemoryNamedLockService()
    expect(await locks.transaction('a', async (_manager, lock) => lock.name)).to.equal('a')
    const use = locks.transaction('a', async (manager) => manager.query('SELECT 1'))
    expect((await rejection(use, NamedLockConfigurationError)).message).to.include('without a DataSource')
  })

  it('accepts the option `retry`: its transactions fail only by their own errors, which end the call', async () => {
    await using locks = new InMemoryNamedLockService()
    const mine = Object.assign(new Error('mine'), { errno: 1213 })
    let tries = 0
    const work = async (): Promise<never> => {
      tries++
      throw mine
    }
    expect(await rejection(locks.transaction('a', { retry: { deadlock: 3 } }, work))).to.equal(mine)
    expect(tries).to.equal(1)
    expect(await locks.transaction('a', { retry: { deadlock: 3 } }, async (_manager, lock) => lock.name)).to.equal('a')
    expect(await locks.isLocked('a')).to.equal(false)
  })

  for (const typeorm of typeorms) {
    describe(`on a DataSource of sql.js, ${typeorm.name}`, () => {
      const dataSource = new typeorm.module.DataSource({ type: 'sqljs', entities: [accounts], synchronize: true })
      let locks: InMemoryNamedLockService

      before(() => dataSource.initialize())
      after(() => dataSource.destroy())
      beforeEach(async () => {
        await dataSource.getRepository(accounts).save({ id: 1, balance: 0 })
        locks = new InMemoryNamedLockService(dataSource)
      })
      afterEach(() => locks.close())

      const balance = async () => (await dataSource.getRepository(accounts).findOneByOrFail({ id: 1 })).balance

      it('is the service of that DataSource, also for repository classes', async () => {
        class Accounts {
          constructor(readonly manager: EntityManager) {}
          @WithNamedLock('accounts', 10)
          async names(): Promise<readonly string[]> {
            return NamedLock.current()?.names ?? []
          }
        }
        expect(locks.dataSource).to.equal(dataSource)
        expect(NamedLockService.for(dataSource)).to.equal(locks)
        const repository = new Accounts(dataSource.manager)
        expect(await repository.names()).to.deep.equal(['accounts'])
        locks.holdElsewhere('accounts')
        await rejection(repository.names(), NamedLockTimeoutError)
      })

      it('commits what a transaction wrote, and rolls back what failed', async () => {
        const deposit = (amount: number, fails = false) =>
          locks.transaction('account', async (manager) => {
            const repository = manager.getRepository(accounts)
            const account = await repository.findOneByOrFail({ id: 1 })
            await repository.save({ ...account, balance: account.balance + amount })
            if (fails) throw new Error('no')
          })
        await Promise.all([deposit(1), deposit(2), deposit(3)])
        expect(await balance()).to.equal(6)
        await rejection(deposit(10, true))
        expect(await balance()).to.equal(6)
      })

      it('lets repositories take part in ambient transactions, and branches no longer after a rollback', async () => {
        const repository = dataSource.getRepository(accounts)
        const ambient = new InMemoryNamedLockService(dataSource, { ambientTransactions: true })
        try {
          let go: () => void = () => {}
          let late: Promise<unknown> | undefined
          const deposit = (fails: boolean) =>
            ambient.transaction('account', async () => {
              await repository.increment({ id: 1 }, 'balance', 10)
              await dataSource.transaction((manager) => manager.increment(accounts, { id: 1 }, 'balance', 1))
              late = new Promise<void>((resolve) => (go = resolve)).then(() => repository.count())
              if (fails) throw new Error('no')
            })
          await rejection(deposit(true))
          expect(await balance()).to.equal(0)
          go()
          expect((await rejection(late!, NamedLockError)).code).to.equal('NOT_HELD')
          await deposit(false)
          go()
          expect(await late).to.equal(1)
          expect(await balance()).to.equal(11)
        } finally {
          await ambient.close()
        }
      })

      it('rolls back when the lock is lost', async () => {
        const work = locks.transaction('account', async (manager) => {
          await manager.getRepository(accounts).save({ id: 1, balance: 99 })
          locks.simulateLoss('account')
        })
        await rejection(work, NamedLockLostError)
        expect(await balance()).to.equal(0)
      })

      it('holds a lock to the end of a running transaction', async () => {
        await dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, 'account')
          expect(await locks.isLocked('account')).to.equal(true)
          await manager.getRepository(accounts).save({ id: 1, balance: 5 })
        })
        expect(await balance()).to.equal(5)
        await until('the lock is free', async () => !(await locks.isLocked('account')))
      })

      it('refuses a lock inside a transaction, as with a server', async () => {
        const work = dataSource.transaction(() => locks.withLock('a', () => expect.fail('the work ran')))
        await rejection(work, NamedLockInsideTransactionError)
      })
    })
  }
})
