import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import {
  NamedLock,
  NamedLockConfigurationError,
  NamedLockInsideTransactionError,
  NamedLockLostError,
  NamedLockTimeoutError,
  type NamedLockService,
} from '../../src/index.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { onStatement } from './support/on-statement.js'
import { Stock } from './support/stock.js'

const ER_LOCK_DEADLOCK = 1213
const ER_CHECKREAD = 1020

describe('transaction', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)
    const key = () => ctx.keyOf('a')

    beforeEach(() => stock.fill(2))

    async function expectUsable(locks: NamedLockService): Promise<void> {
      const before = await stock.count()
      await settlesWithin(
        3_000,
        'the next transaction',
        locks.transaction('a', (manager) => stock.add(manager)),
      )
      expect(await stock.count()).to.equal(before + 1)
      expect(await ctx.outsider.holderOf(key())).to.equal(null)
    }

    it('gives the work a manager on the connection that holds the lock, and the handle', async () => {
      const locks = await ctx.service()
      const result = await locks.transaction('a', async (manager, lock) => {
        const [row] = await manager.query('SELECT CONNECTION_ID() AS id')
        expect(String(row.id)).to.equal(await ctx.outsider.holderOf(key()))
        expect(manager.queryRunner?.isTransactionActive).to.equal(true)
        expect(lock.manager).to.equal(manager)
        expect(lock.isHeld).to.equal(true)
        expect(await lock.verify()).to.equal(true)
        expect(await lock.fencingToken()).to.be.a('bigint')
        expect(NamedLock.current()).to.equal(lock)
        return 'result'
      })
      expect(result).to.equal('result')
    })

    it('sees what was committed before the lock came, though its snapshot is repeatable', async () => {
      const services = await Promise.all([1, 2, 3, 4].map(() => ctx.service()))
      const readModifyWrite = async (manager: EntityManager) => {
        const n = await stock.read(manager)
        await manager.query('SELECT SLEEP(0.002)')
        await stock.write(manager, n + 1)
      }
      for (const isolation of [undefined, 'READ COMMITTED'] as const) {
        await stock.write((await ctx.dataSource()).manager, 0)
        const calls = Array.from({ length: 40 }, (_, i) =>
          services[i % 4]!.transaction('a', { isolation, timeout: '20s' }, readModifyWrite),
        )
        await Promise.all(calls)
        expect(await stock.count()).to.equal(40)
      }
    })

    it('runs at the isolation level of the call, for this transaction only', async () => {
      const locks = await ctx.service()
      const levelOf = async (manager: EntityManager) => {
        // Neither server tells the level of the running transaction: what it sees of others does.
        const before = await stock.read(manager)
        await ctx.outsider.query(`UPDATE ${stock.table} SET n = n + 1 WHERE id = 0`)
        return (await stock.read(manager)) === before ? 'repeatable' : 'not repeatable'
      }
      expect(await locks.transaction('a', { isolation: 'READ COMMITTED' }, levelOf)).to.equal('not repeatable')
      expect(await locks.transaction('a', { isolation: 'REPEATABLE READ' }, levelOf)).to.equal('repeatable')
      expect(await locks.transaction('a', levelOf)).to.equal(ctx.sql('repeatable', 'not repeatable'))
    })

    it('rejects an isolation level that does not exist, before anything is sent', async () => {
      const locks = await ctx.service()
      await rejection(
        locks.transaction('a', { isolation: 'SOLITUDE' as 'SERIALIZABLE' }, () => undefined),
        NamedLockConfigurationError,
      )
    })

    it('rejects with the very error of the work, whatever else goes wrong', async () => {
      const locks = await ctx.service()
      const mine = new Error('mine')
      const failing = (after: (manager: EntityManager, lock: NamedLock) => unknown) =>
        reasonOf(
          locks.transaction('a', async (manager, lock) => {
            await stock.add(manager)
            await after(manager, lock)
            throw mine
          }),
        )
      expect(await failing(() => undefined)).to.equal(mine)
      const killed = failing(async (_manager, lock) => {
        await ctx.outsider.kill(String(await ctx.outsider.holderOf(key())))
        await until('the loss', () => !lock.isHeld)
      })
      expect(await killed).to.equal(mine)
      expect(await stock.count()).to.equal(0)
      const reason = { not: 'an error' }
      expect(await reasonOf(locks.transaction('a', () => Promise.reject(reason as never)))).to.equal(reason)
      await expectUsable(locks)
    })

    it('goes on after a subscriber has thrown, around the COMMIT and the ROLLBACK', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      const failing = new Set<string>()
      const fail = (what: string) => () => {
        if (failing.has(what)) throw new Error(what)
      }
      dataSource.subscribers.push({
        beforeTransactionStart: fail('beforeTransactionStart'),
        beforeTransactionCommit: fail('beforeTransactionCommit'),
        afterTransactionCommit: fail('afterTransactionCommit'),
        beforeTransactionRollback: fail('beforeTransactionRollback'),
        afterTransactionRollback: fail('afterTransactionRollback'),
      })
      let committed = 0
      for (const what of ['beforeTransactionStart', 'beforeTransactionCommit', 'afterTransactionCommit']) {
        failing.add(what)
        const error = await rejection(locks.transaction('a', (manager) => stock.add(manager)))
        failing.clear()
        if (what === 'afterTransactionCommit') {
          committed++
          expect(error).to.include({ code: 'COMMITTED', outcome: 'committed' })
          expect((error.cause as Error).message).to.equal(what)
        } else expect(error.message).to.equal(what)
        expect(await stock.count(), what).to.equal(committed)
        await expectUsable(locks)
        committed++
      }
      const mine = new Error('mine')
      const idOf = (manager: EntityManager) => manager.query('SELECT CONNECTION_ID() AS id')
      for (const what of ['beforeTransactionRollback', 'afterTransactionRollback']) {
        failing.add(what)
        let connection: unknown
        const run = locks.transaction('a', async (manager) => {
          await stock.add(manager)
          connection = await idOf(manager)
          throw mine
        })
        expect(await rejection(run)).to.equal(mine)
        failing.clear()
        expect(await locks.transaction('a', idOf), `${what}: the connection`).to.deep.equal(connection)
        expect(await stock.count(), what).to.equal(committed)
        await expectUsable(locks)
        committed++
      }
    })

    it('tells a lost connection by NamedLockLostError, with the error that the work got as its cause', async () => {
      const locks = await ctx.service()
      let seen: unknown
      const run = locks.transaction('a', async (manager) => {
        await stock.add(manager)
        void ctx.outsider.kill(String(await ctx.outsider.holderOf(key())))
        await manager.query('SELECT SLEEP(10)').catch((error: unknown) => {
          seen = error
          throw error
        })
      })
      const error = await rejection(run, NamedLockLostError)
      expect(error.outcome).to.equal('rolledBack')
      expect(error.cause).to.equal(seen)
      expect(error.message)
        .to.match(/'a'/)
        .and.match(/rolled back/)
      expect(await stock.count()).to.equal(0)
      await expectUsable(locks)
    })

    it('reports a lost answer to the COMMIT: the outcome is unknown', async () => {
      const proxy = await ctx.proxy()
      const dataSource = await ctx.dataSource({ port: proxy.port })
      const locks = await ctx.service({}, dataSource)
      let cut = true
      onStatement(dataSource, /^COMMIT$/, () => {
        if (cut) proxy.blackHole('to client')
      })
      const run = locks.transaction('a', (manager) => stock.add(manager))
      const outcome = rejection(run, NamedLockLostError)
      await until('the COMMIT on the server', async () => (await stock.count()) === 1)
      cut = false
      await proxy.shut()
      const error = await settlesWithin(3_000, 'the transaction', outcome)
      expect(error.outcome).to.equal('unknown')
      expect(error.message).to.match(/either committed or rolled back/)
      expect(error.cause).to.be.instanceOf(Error)
      proxy.heal()
      await proxy.open()
      await expectUsable(locks)
    })

    it('lets a deadlock of row locks through as it is, and the next try work', async () => {
      const services = await Promise.all([ctx.service(), ctx.service()])
      let inside = 0
      const transfer = (locks: NamedLockService, name: string, from: number, to: number) =>
        locks.transaction(name, { timeout: '10s' }, async (manager) => {
          await stock.add(manager, from)
          inside++
          await until('both inside', () => inside >= 2)
          await stock.add(manager, to)
        })
      let deadlocks = 0
      const withRetry = async (work: () => Promise<void>): Promise<void> => {
        for (let tries = 0; ; tries++) {
          try {
            return await work()
          } catch (error) {
            const { driverError } = error as { driverError?: { errno?: number; code?: string } }
            if (driverError?.errno !== ER_LOCK_DEADLOCK && driverError?.code !== '40P01') throw error
            deadlocks++
            if (tries === 5) throw error
          }
        }
      }
      await Promise.all([
        withRetry(() => transfer(services[0], 'a', 0, 1)),
        withRetry(() => transfer(services[1], 'b', 1, 0)),
      ])
      expect(deadlocks).to.equal(1)
      expect([await stock.count(0), await stock.count(1)]).to.deep.equal([2, 2])
    })

    it('does not let work go on piecemeal after the server has rolled it back', async () => {
      ctx.notOnPostgres('a failed transaction refuses everything by itself')
      const locks = await ctx.service()
      const other = await ctx.service()
      let inside = 0
      let swallowed: unknown
      const both = (service: NamedLockService, name: string, first: number, second: number) =>
        service.transaction(name, async (manager) => {
          await stock.add(manager, first)
          inside++
          await until('both inside', () => inside >= 2)
          try {
            await stock.add(manager, second)
          } catch (error) {
            swallowed = error
            await stock.add(manager, second).catch(() => undefined)
          }
        })
      const runs = await Promise.allSettled([both(locks, 'a', 0, 1), both(other, 'b', 1, 0)])
      const [failed] = runs.filter((run) => run.status === 'rejected')
      expect(failed?.reason).to.have.nested.property('driverError.errno', ER_LOCK_DEADLOCK)
      expect(swallowed).to.have.nested.property('driverError.errno', ER_LOCK_DEADLOCK)
      expect([await stock.count(0), await stock.count(1)], 'the other one alone').to.deep.equal([1, 1])
    })

    it('does not let it go on after the server has found its snapshot too old, either', async () => {
      ctx.notOnPostgres('a failed transaction refuses everything by itself')
      // MariaDB alone, where it is the default from 11.6.2 on.
      const setting = await ctx.outsider.query(`SHOW VARIABLES LIKE 'innodb_snapshot_isolation'`)
      if (setting.length === 0) return
      const locks = await ctx.service()
      const run = locks.transaction('a', async (manager) => {
        await manager.query('SET SESSION innodb_snapshot_isolation = ON')
        await stock.read(manager)
        await stock.add(manager, 1)
        await ctx.outsider.query(`UPDATE ${stock.table} SET n = 10 WHERE id = 0`) // by a caller without the lock
        await stock.add(manager, 0).catch(() => undefined)
        await stock.add(manager, 1).catch(() => undefined)
      })
      expect(await rejection(run)).to.have.nested.property('driverError.errno', ER_CHECKREAD)
      expect([await stock.count(0), await stock.count(1)]).to.deep.equal([10, 0])
      await expectUsable(locks)
    })

    it('ends its manager: later use is refused, and has no effect on other callers', async () => {
      const locks = await ctx.service()
      let kept: EntityManager | undefined
      let late: (() => Promise<void>) | undefined
      await locks.transaction('a', (manager) => {
        kept = manager
        const raw = manager.queryRunner!.connect()
        late = async () => void (await (await raw).promise().query(`UPDATE ${stock.table} SET n = 100`))
      })
      await locks.transaction('a', async (manager) => {
        expect(manager).to.not.equal(kept)
        await rejection(stock.write(kept!, 100))
        await rejection(late!())
        await rejection(kept!.transaction(() => Promise.resolve()))
        await stock.add(manager)
      })
      expect(await stock.count()).to.equal(1)
      await rejection(stock.write(kept!, 100))
      expect(await stock.count()).to.equal(1)
    })

    it('ends a transaction that work has left open before another caller can join it', async () => {
      const locks = await ctx.service()
      await rejection(
        locks.transaction('a', async (manager) => {
          await manager.queryRunner!.startTransaction()
          await stock.add(manager)
        }),
        NamedLockConfigurationError,
      )
      expect(await stock.count()).to.equal(0)
      await locks.withLock('a', { session: 'dedicated' }, async (lock) => {
        await lock.manager.queryRunner!.startTransaction()
        await stock.add(lock.manager)
      })
      await expectUsable(locks)
      expect(await stock.count()).to.equal(1)
    })

    it('does not let the work release the lock, the QueryRunner or the connection', async () => {
      const locks = await ctx.service()
      await locks.transaction('a', async (manager, lock) => {
        await rejection(lock.release(), NamedLockInsideTransactionError)
        const runner = manager.queryRunner!
        await rejection(runner.release(), NamedLockConfigurationError)
        const raw = await runner.connect()
        for (const method of ctx.isPostgres ? ['release', 'end'] : ['release', 'end', 'changeUser']) {
          expect(() => raw[method](), method).to.throw(NamedLockConfigurationError)
        }
        await stock.add(manager)
        expect(lock.isHeld).to.equal(true)
        expect(await lock.verify()).to.equal(true)
      })
      expect(await stock.count()).to.equal(1)
      await expectUsable(locks)
    })

    it('survives work that destroys its connection, closes the service or destroys the DataSource', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      const destroyed = locks.transaction('a', async (manager) => {
        await stock.add(manager)
        const raw = await manager.queryRunner!.connect()
        if (ctx.isPostgres) raw.connection.stream.destroy()
        else raw.destroy()
      })
      // pg's socket does not report the loss before the COMMIT has been sent: the outcome is unknown then.
      const outcome = ctx.sql('rolledBack', 'unknown')
      expect(await rejection(destroyed, NamedLockLostError)).to.have.property('outcome', outcome)
      await expectUsable(locks)

      const closing = await ctx.service({ closeTimeout: 100 }, dataSource)
      const closed = closing.transaction('a', async (manager, lock) => {
        await stock.add(manager)
        void closing.close()
        await until('the signal', () => lock.signal.aborted)
      })
      await rejection(settlesWithin(3_000, 'the transaction', closed), NamedLockLostError)

      const ended = locks.transaction('a', async (manager, lock) => {
        await stock.add(manager)
        void dataSource.destroy()
        await until('the signal', () => lock.signal.aborted)
      })
      await rejection(settlesWithin(3_000, 'the transaction', ended), NamedLockLostError)
      expect(await stock.count()).to.equal(1)
      expect(await ctx.outsider.getLock(key(), 2)).to.equal(true)
      await ctx.outsider.releaseLock(key())
    })

    it('takes options as withLock does: timeout, signal, exactName, several names', async () => {
      const locks = await ctx.service()
      await ctx.outsider.getLock(key())
      const error = await rejection(
        locks.transaction('a', { timeout: 500 }, () => expect.fail('the work ran')),
        NamedLockTimeoutError,
      )
      // After its timeout a caller waits only briefly for the holder's name, which may need two new connections.
      if (error.holder) expect(error.holder.connectionId, error.message).to.equal(ctx.outsider.id)
      const controller = ctx.abortController()
      const waiting = locks.transaction('a', { signal: controller.signal, timeout: '10s' }, () => expect.fail('ran'))
      const reason = new Error('enough')
      setImmediate(() => controller.abort(reason))
      expect(await rejection(settlesWithin(2_000, 'the aborted call', waiting))).to.equal(reason)
      await ctx.outsider.releaseLock(key())
      const exact = ctx.isPostgres ? 4711n : `${ctx.database} exact`
      await locks.transaction(exact, { exactName: true }, async () => {
        expect(await ctx.outsider.getLock(String(exact))).to.equal(false)
      })
      await locks.transaction(['b', 'a'], async (_manager, lock) => {
        for (const one of lock.keys) expect(await ctx.outsider.getLock(one)).to.equal(false)
      })
    })

    it('is heard of by events, and seen by isLocked and holder', async () => {
      const locks = await ctx.service()
      const heard: string[] = []
      locks.on('acquired', ({ name, by }) => heard.push(`acquired ${name} ${by}`))
      locks.on('released', ({ name }) => heard.push(`released ${name}`))
      await locks.transaction('a', async (manager) => {
        expect(await locks.isLocked('a')).to.equal(true)
        const [row] = await manager.query('SELECT CONNECTION_ID() AS id')
        expect((await locks.holder('a'))?.connectionId).to.equal(String(row.id))
      })
      expect(await locks.isLocked('a')).to.equal(false)
      expect(heard).to.deep.equal(['acquired a server', 'released a'])
    })
  })
})
