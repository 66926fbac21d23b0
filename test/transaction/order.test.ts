import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import { NamedLockLostError } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import type { DataSource } from '../support/typeorms.js'
import { until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { inWords, record } from './support/general-log.js'
import { logFile, logStatements } from './support/postgres-log.js'
import { makeReadOnly, makeWritable, plainLogin } from './support/read-only.js'

const ER_OPTION_PREVENTS_STATEMENT = 1290

describe('the order on the wire', () => {
  forEachDatabase((ctx) => {
    beforeEach('have what is sent logged', async function () {
      if (!ctx.isPostgres) return
      if (logFile(ctx) === undefined) {
        this.currentTest!.title += " (needs the server's log)"
        this.skip()
      }
      await logStatements(ctx)
    })

    const work = 'UPDATE stock SET n = n + 1'
    const update = (manager: EntityManager) => manager.query(work)

    beforeEach(async () => {
      await ctx.outsider.query(`CREATE TABLE IF NOT EXISTS ${ctx.database}.stock (n INT NOT NULL) ENGINE=InnoDB`)
      await ctx.outsider.query(`DELETE FROM ${ctx.database}.stock`)
      await ctx.outsider.query(`INSERT INTO ${ctx.database}.stock VALUES (0)`)
    })

    const stock = async () => Number(await ctx.outsider.value(`SELECT n FROM ${ctx.database}.stock`))

    /** What went over the wire, which must have been one connection. */
    async function wire(run: () => Promise<unknown>): Promise<string[]> {
      const statements = await record(ctx, run)
      const own = statements.filter((statement) => inWords([statement], ctx).length > 0)
      expect(new Set(own.map(({ connection }) => connection)).size, 'connections').to.equal(1)
      return inWords(statements, ctx)
    }

    it('is lock, transaction, work, COMMIT, release; all on one connection', async () => {
      const locks = await ctx.service()
      expect(await wire(() => locks.transaction('a', update))).to.deep.equal([
        'GET_LOCK a',
        'START TRANSACTION',
        work,
        'COMMIT',
        'RELEASE_LOCK a',
      ])
      expect(await stock()).to.equal(1)
    })

    it('takes several locks before the transaction, and gives them back after it', async () => {
      const locks = await ctx.service()
      // In the order of their keys.
      const [first, second] = ctx.keyOf('a') < ctx.keyOf('b') ? ['a', 'b'] : ['b', 'a']
      expect(await wire(() => locks.transaction(['b', 'a'], update))).to.deep.equal([
        `GET_LOCK ${first}`,
        `GET_LOCK ${second}`,
        'START TRANSACTION',
        work,
        'COMMIT',
        `RELEASE_LOCK ${second}`,
        `RELEASE_LOCK ${first}`,
      ])
    })

    it('sets the isolation level between the lock and the work', async () => {
      const locks = await ctx.service()
      const isolation = 'READ COMMITTED'
      const level = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED'
      expect(await wire(() => locks.transaction('a', { isolation }, update))).to.deep.equal([
        'GET_LOCK a',
        // PostgreSQL has no such setting before the transaction; its snapshot is that of the work either way.
        ...(ctx.isPostgres ? ['START TRANSACTION', level] : [level, 'START TRANSACTION']),
        work,
        'COMMIT',
        'RELEASE_LOCK a',
      ])
    })

    it('has a ROLLBACK when the work fails', async () => {
      const locks = await ctx.service()
      const mine = new Error('mine')
      const fail = async (manager: EntityManager) => {
        await update(manager)
        throw mine
      }
      const words = await wire(async () => expect(await rejection(locks.transaction('a', fail))).to.equal(mine))
      expect(words).to.deep.equal(['GET_LOCK a', 'START TRANSACTION', work, 'ROLLBACK', 'RELEASE_LOCK a'])
      expect(await stock()).to.equal(0)
    })

    it('has a ROLLBACK after a COMMIT that the server refused, before the release', async () => {
      ctx.notOnPostgres('a server that is made read-only refuses no COMMIT')
      const locks = await ctx.service({}, await ctx.dataSource(await plainLogin(ctx)))
      try {
        const words = await wire(async () => {
          const run = locks.transaction('a', async (manager) => {
            await update(manager)
            await makeReadOnly(ctx)
          })
          expect(await rejection(run)).to.have.nested.property('driverError.errno', ER_OPTION_PREVENTS_STATEMENT)
        })
        const begin = ['GET_LOCK a', 'START TRANSACTION', work]
        expect(words).to.deep.equal([...begin, 'COMMIT', 'ROLLBACK', 'RELEASE_LOCK a'])
        expect(await stock()).to.equal(0)
      } finally {
        await makeWritable(ctx)
      }
    })

    it('ends with the connection when that is killed: no COMMIT, and the lock is free', async () => {
      const locks = await ctx.service()
      const words = await wire(async () => {
        const run = locks.transaction('a', async (manager, lock) => {
          await update(manager)
          await ctx.outsider.kill(String(await ctx.outsider.holderOf(lock.key)))
          await until('the loss', () => !lock.isHeld)
        })
        expect(await rejection(run, NamedLockLostError)).to.have.property('outcome', 'rolledBack')
      })
      expect(words).to.deep.equal(['GET_LOCK a', 'START TRANSACTION', work])
      expect(await stock()).to.equal(0)
      expect(await ctx.outsider.getLock(`${ctx.database}.a`)).to.equal(true)
      await ctx.outsider.releaseLock(`${ctx.database}.a`)
    })

    it('has savepoints inside, and the release after the outermost COMMIT', async () => {
      const locks = await ctx.service()
      const words = await wire(() =>
        locks.transaction('a', async (manager) => {
          await manager.transaction(update)
          await locks.transaction('a', update)
          await locks.transaction('a', () => Promise.reject(new Error('inner'))).catch(() => undefined)
        }),
      )
      expect(words).to.deep.equal([
        'GET_LOCK a',
        'START TRANSACTION',
        'SAVEPOINT typeorm_1',
        work,
        'RELEASE SAVEPOINT typeorm_1',
        'SAVEPOINT typeorm_1',
        work,
        'RELEASE SAVEPOINT typeorm_1',
        'SAVEPOINT typeorm_1',
        'ROLLBACK TO SAVEPOINT typeorm_1',
        'COMMIT',
        'RELEASE_LOCK a',
      ])
      expect(await stock()).to.equal(2)
    })

    it('goes on with the next caller of this process on the same connection, without the server', async () => {
      // On a busy machine three of them can take longer than a turn.
      const locks = await ctx.service({ handOver: { for: '1m' } })
      const words = await wire(() => Promise.all([1, 2, 3].map(() => locks.transaction('a', update))))
      const once = ['START TRANSACTION', work, 'COMMIT']
      expect(words).to.deep.equal(['GET_LOCK a', ...once, ...once, ...once, 'RELEASE_LOCK a'])
      expect(await stock()).to.equal(3)
    })

    describe('of lockTransaction', () => {
      const ends: Record<
        string,
        (dataSource: DataSource, inside: (m: EntityManager) => Promise<void>) => Promise<void>
      > = {
        COMMIT: (dataSource, inside) => dataSource.transaction(inside),
        ROLLBACK: (dataSource, inside) =>
          dataSource
            .transaction(async (manager) => {
              await inside(manager)
              throw new Error('roll back')
            })
            .catch(() => undefined),
      }

      for (const [end, run] of Object.entries(ends)) {
        it(`is after other work, with the release after the outermost ${end}, never at a savepoint`, async () => {
          const dataSource = await ctx.dataSource()
          const locks = await ctx.service({}, dataSource)
          const words = await wire(() =>
            run(dataSource, async (manager) => {
              await update(manager)
              await manager.transaction(async (nested) => {
                await locks.lockTransaction(nested, 'a')
                await update(nested)
              })
              await manager.transaction(() => Promise.reject(new Error('inner'))).catch(() => undefined)
              await update(manager)
            }),
          )
          expect(words).to.deep.equal([
            'START TRANSACTION',
            work,
            'SAVEPOINT typeorm_1',
            'GET_LOCK a',
            work,
            'RELEASE SAVEPOINT typeorm_1',
            'SAVEPOINT typeorm_1',
            'ROLLBACK TO SAVEPOINT typeorm_1',
            work,
            end,
            'RELEASE_LOCK a',
          ])
        })
      }

      it('ends with the connection when its QueryRunner is released while the transaction is active', async () => {
        const dataSource = await ctx.dataSource()
        const locks = await ctx.service({}, dataSource)
        const runner = dataSource.createQueryRunner()
        await runner.connect()
        const words = await wire(async () => {
          await runner.startTransaction()
          await locks.lockTransaction(runner.manager, 'a')
          await update(runner.manager)
          await runner.release()
          await until('the lock to be free', async () => (await ctx.outsider.holderOf(`${ctx.database}.a`)) === null)
        })
        expect(words).to.deep.equal(['START TRANSACTION', 'GET_LOCK a', work])
        await until('the ROLLBACK', async () => (await stock()) === 0)
      })

      it('is inside a transaction of the library, with all releases after the COMMIT', async () => {
        const locks = await ctx.service()
        const words = await wire(() =>
          locks.transaction('a', async (manager) => {
            await update(manager)
            await locks.lockTransaction(manager, 'b')
          }),
        )
        expect(words).to.deep.equal([
          'GET_LOCK a',
          'START TRANSACTION',
          work,
          'GET_LOCK b',
          'COMMIT',
          'RELEASE_LOCK b',
          'RELEASE_LOCK a',
        ])
      })
    })
  })
})
