import { expect } from 'chai'
import {
  NamedLock,
  NamedLockConfigurationError,
  NamedLockInsideTransactionError,
  NamedLockReentrancyError,
} from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { Stock } from './support/stock.js'

describe('transaction inside transaction', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)
    const key = () => ctx.keyOf('a')

    beforeEach(() => stock.fill(2))

    it('is a savepoint in the same transaction when the name is held', async () => {
      const locks = await ctx.service()
      const result = await locks.transaction('a', async (outer, outerLock) => {
        await stock.add(outer)
        const inner = await locks.transaction('a', async (manager, lock) => {
          expect(manager).to.equal(outer)
          expect(NamedLock.current()).to.equal(lock)
          expect(lock.name).to.equal('a')
          expect(lock.isHeld).to.equal(true)
          await rejection(lock.release(), NamedLockInsideTransactionError)
          await stock.add(manager)
          return 'inner'
        })
        expect(outerLock.isHeld).to.equal(true)
        expect(await outerLock.verify()).to.equal(true)
        expect(await stock.count(), 'committed').to.equal(0)
        return inner
      })
      expect(result).to.equal('inner')
      expect(await stock.count()).to.equal(2)
      expect(await ctx.outsider.holderOf(key())).to.equal(null)
    })

    it('rolls back only its own part when it fails, if its caller goes on', async () => {
      const locks = await ctx.service()
      const mine = new Error('mine')
      await locks.transaction('a', async (outer) => {
        await stock.add(outer)
        const inner = locks.transaction('a', async (manager) => {
          await stock.add(manager)
          await locks.transaction('a', (deeper) => stock.add(deeper))
          throw mine
        })
        expect(await rejection(inner)).to.equal(mine)
        await stock.add(outer, 1)
      })
      expect([await stock.count(0), await stock.count(1)]).to.deep.equal([1, 1])
    })

    it('is committed or taken back with the outer one', async () => {
      const locks = await ctx.service()
      const mine = new Error('mine')
      const run = locks.transaction('a', async () => {
        await locks.transaction('a', (manager) => stock.add(manager))
        throw mine
      })
      expect(await rejection(run)).to.equal(mine)
      expect(await stock.count()).to.equal(0)
    })

    it('takes branches that run side by side one after the other', async () => {
      const locks = await ctx.service()
      let inside = 0
      let most = 0
      await locks.transaction('a', async () => {
        const branches = [0, 1, 2, 3, 4].map((i) =>
          locks.transaction('a', async (manager) => {
            most = Math.max(most, ++inside)
            await stock.add(manager)
            await locks.transaction('a', (deeper) => stock.add(deeper))
            inside--
            if (i % 2) throw new Error('odd')
          }),
        )
        const results = await Promise.allSettled(branches)
        expect(results.map(({ status }) => status === 'fulfilled')).to.deep.equal([true, false, true, false, true])
      })
      expect(most).to.equal(1)
      expect(await stock.count()).to.equal(6)
    })

    it('is an error with a new name, with and without held ones', async () => {
      const locks = await ctx.service()
      const other = await ctx.service({}, locks.dataSource)
      for (const service of [locks, other]) {
        for (const names of ['b', ['a', 'b'], ['b', 'a']]) {
          await locks.transaction('a', async () => {
            const error = await rejection(
              service.transaction(names, () => expect.fail('the work ran')),
              NamedLockInsideTransactionError,
            )
            expect(error.message).to.match(/lockTransaction/)
          })
        }
      }
    })

    it('may hold several names, and each alone is held inside', async () => {
      const locks = await ctx.service()
      await locks.transaction(['a', 'b', 'c'], async (outer) => {
        for (const names of ['a', 'b', ['b', 'c'], ['c', 'b', 'a']]) {
          await locks.transaction(names, async (manager, lock) => {
            expect(manager).to.equal(outer)
            expect(lock.names).to.deep.equal([names].flat())
            await stock.add(manager)
          })
        }
      })
      expect(await stock.count()).to.equal(4)
    })

    it('runs at the level of the outermost, and says so', async () => {
      const locks = await ctx.service()
      await locks.transaction('a', { isolation: 'READ COMMITTED' }, async () => {
        await locks.transaction('a', { isolation: 'READ COMMITTED' }, () => undefined)
        await rejection(
          locks.transaction('a', { isolation: 'SERIALIZABLE' }, () => undefined),
          NamedLockConfigurationError,
        )
      })
    })

    it('is not possible on a lock that another connection holds for the scope around it', async () => {
      const locks = await ctx.service()
      await locks.withLock('a', async () => {
        for (const reentrant of [false, true]) {
          await rejection(
            locks.transaction('a', { reentrant }, () => expect.fail('the work ran')),
            NamedLockReentrancyError,
          )
        }
      })
      expect(await ctx.outsider.holderOf(key())).to.equal(null)
    })

    it('can use the connection of a dedicated lock, when that is asked for', async () => {
      const locks = await ctx.service()
      await locks.withLock('a', { session: 'dedicated' }, async (outer) => {
        await rejection(
          locks.transaction('a', () => undefined),
          NamedLockReentrancyError,
        )
        await locks.transaction('a', { reentrant: true }, async (manager) => {
          expect(manager).to.equal(outer.manager)
          await stock.add(manager)
        })
        expect(await stock.count()).to.equal(1)
        expect(await outer.verify()).to.equal(true)
        expect(await stock.read(outer.manager)).to.equal(1)
      })
    })

    it('may be inside a withLock of another name, and a withLock of its own name inside of it', async () => {
      const locks = await ctx.service()
      await locks.withLock('b', async () => {
        await locks.transaction('a', async (manager, outer) => {
          await stock.add(manager)
          await rejection(
            locks.withLock('a', () => undefined),
            NamedLockReentrancyError,
          )
          await locks.withLock('a', { reentrant: true }, (lock) => expect(lock.isHeld).to.equal(true))
          expect(outer.isHeld).to.equal(true)
          // 'b' is held for longer than the transaction: a savepoint under it is as good
          await locks.transaction('b', (nested) => stock.add(nested))
        })
      })
      expect(await stock.count()).to.equal(2)
    })

    it('cannot save a transaction that the server has rolled back as a whole', async () => {
      ctx.notOnPostgres('a savepoint saves whatever failed inside of it')
      const locks = await ctx.service()
      const other = await ctx.service()
      let inside = 0
      const both = (service: typeof locks, name: string, first: number, second: number) =>
        service.transaction(name, async (manager) => {
          await stock.add(manager, first)
          inside++
          await until('both inside', () => inside >= 2)
          await service.transaction(name, (nested) => stock.add(nested, second)).catch(() => undefined)
        })
      const runs = await settlesWithin(
        10_000,
        'both',
        Promise.allSettled([both(locks, 'a', 0, 1), both(other, 'b', 1, 0)]),
      )
      const failed = runs.filter((run) => run.status === 'rejected')
      expect(failed).to.have.length(1)
      expect(failed[0]?.reason).to.have.nested.property('driverError.errno', 1213)
      expect([await stock.count(0), await stock.count(1)], 'the other one alone').to.deep.equal([1, 1])
    })

    it('is one of its own in a branch that has outlived the outer one', async () => {
      const locks = await ctx.service()
      let branch: Promise<void> | undefined
      let go: (() => void) | undefined
      await locks.transaction('a', (outer) => {
        const told = new Promise<void>((resolve) => (go = resolve))
        branch = told.then(() =>
          locks.transaction('a', async (manager) => {
            expect(manager).to.not.equal(outer)
            await stock.add(manager)
          }),
        )
      })
      go?.()
      await settlesWithin(3_000, 'the branch', branch!)
      expect(await stock.count()).to.equal(1)
    })
  })
})
