import { expect } from 'chai'
import { describe, it } from 'mocha'
import {
  NamedLock,
  NamedLockClosedError,
  NamedLockConfigurationError,
  NamedLockDeadlockError,
  NamedLockError,
  NamedLockInsideTransactionError,
  NamedLockLostError,
  NamedLockReentrancyError,
  NamedLockService,
  NamedLockTimeoutError,
  WithNamedLock,
} from '../../src/index.js'
import { behindPgBouncer } from '../support/behind-pgbouncer.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'

const LEVELS = ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const
const POOLED = { mode: 'transaction' } as const

describe("pooling: 'transaction', behind PgBouncer", () => {
  behindPgBouncer((through, ctx) => {
    const key = (name: string): string => ctx.keyOf(name)
    const isFree = async (name: string): Promise<boolean> => (await ctx.outsider.holderOf(key(name))) === null

    through('does once what runOnce does, in each isolation level', POOLED, async (behind) => {
      const services = await Promise.all([behind.service(), behind.service()])
      await ctx.outsider.query(`CREATE TABLE ${ctx.database}.once_effects (name VARCHAR(40))`)
      for (const isolation of LEVELS) {
        const calls = Array.from({ length: 12 }, (_, i) =>
          services[i % 2]!.runOnce(`${isolation} ${i % 3}`, { isolation, timeout: '20s' }, (manager) =>
            manager.query(`INSERT INTO ${ctx.database}.once_effects (name) VALUES ('${isolation} ${i % 3}')`),
          ),
        )
        const results = await Promise.all(calls)
        expect(
          results.filter(({ ran }) => ran),
          isolation,
        ).to.have.length(3)
      }
      const rows = await ctx.outsider.query(`SELECT name FROM ${ctx.database}.once_effects`)
      expect(rows).to.have.length(3 * LEVELS.length)
      class Orders {
        constructor(readonly locks: NamedLockService) {}
        @WithNamedLock('nightly', '5s', { once: { every: '20h' } })
        async run(): Promise<number | undefined> {
          return 1
        }
      }
      expect([await new Orders(services[0]).run(), await new Orders(services[1]).run()]).to.deep.equal([1, undefined])
      expect(await services[0].forget('nightly')).to.equal(true)
      await ctx.outsider.query(`DROP TABLE ${ctx.database}.once_effects`)
    })

    through('has locks in transactions, and answers about them', POOLED, async (behind) => {
      const locks = await behind.service()
      expect(await locks.check()).to.deep.equal([])
      const heard: string[] = []
      for (const event of ['acquired', 'released'] as const)
        locks.on(event, ({ name }) => heard.push(`${event} ${name}`))
      const result = await locks.transaction(['a', 'b'], async (manager, lock) => {
        expect(lock.isHeld && (await lock.verify())).to.equal(true)
        expect(lock.manager).to.equal(manager)
        expect(locks.manager).to.equal(manager)
        expect(NamedLock.assertHeld('b')).to.equal(lock)
        const [{ id }] = await manager.query('SELECT pg_backend_pid()::text AS id')
        expect(await locks.isLocked('a')).to.equal(true)
        expect(await locks.holder('a')).to.include({ connectionId: id, database: ctx.database })
        const list = await locks.list()
        expect(list.map(({ name }) => name)).to.have.members(['a', 'b'])
        expect(await ctx.outsider.getLock(key('a'))).to.equal(false)
        return lock.fencingToken()
      })
      expect(result > 0n).to.equal(true)
      expect(await locks.transaction('a', (_manager, lock) => lock.fencingToken())).to.satisfy(
        (next: bigint) => next > result,
      )
      expect(await locks.isLocked('a')).to.equal(false)
      expect(heard.slice(0, 2)).to.have.members(['acquired a', 'acquired b'])
      expect(heard.slice(2, 4)).to.have.members(['released a', 'released b'])
      class Orders {
        constructor(readonly locks: NamedLockService) {}
        @WithNamedLock('order', '5s', { transaction: true })
        async pay(): Promise<boolean> {
          return isFree('order')
        }
        @WithNamedLock('order', '5s')
        async ship(): Promise<void> {}
      }
      expect(await new Orders(locks).pay()).to.equal(false)
      await rejection(new Orders(locks).ship(), NamedLockConfigurationError)
    })

    through('repeats a transaction that the server has rolled back, with its lock', POOLED, async (behind) => {
      const table = `${ctx.database}.repeated`
      await ctx.outsider.query(`CREATE TABLE ${table} (n INT NOT NULL)`)
      await ctx.outsider.query(`INSERT INTO ${table} VALUES (0)`)
      const locks = await behind.service()
      const handles = new Set<NamedLock>()
      const call = { isolation: 'REPEATABLE READ', retry: { serialization: 2 } } as const
      const run = (until: number): Promise<void> =>
        locks.transaction('a', call, async (manager, lock) => {
          handles.add(lock)
          expect(lock.isHeld && (await lock.verify())).to.equal(true)
          await manager.query(`SELECT n FROM ${table}`)
          if (handles.size < until) await ctx.outsider.query(`UPDATE ${table} SET n = n + 10`)
          await manager.query(`UPDATE ${table} SET n = n + 1`)
        })
      await run(3)
      expect(handles.size).to.equal(3)
      expect(Number(await ctx.outsider.value(`SELECT n FROM ${table}`))).to.equal(21)
      handles.clear()
      const error = await rejection(run(9), NamedLockError)
      expect(error).to.include({ code: 'DATABASE', outcome: 'rolledBack' })
      expect(error.message).to.match(/by a serialization failure in each of 3 tries/)
      expect(await isFree('a')).to.equal(true)
      await ctx.outsider.query(`DROP TABLE ${table}`)
    })

    through('refuses every lock that would outlive its transaction, and says why', POOLED, async (behind) => {
      const locks = await behind.service()
      const work = (): never => expect.fail('the work ran')
      const reason = /transaction\(\), runOnce\(\), lockTransaction\(\), runMigrations\(\).*stay on a connection/
      expect(() => locks.lead('a', work)).to.throw(NamedLockConfigurationError, reason)
      expect(await locks.ping()).to.be.a('number')
      for (const call of [
        locks.withLock('a', work),
        locks.withLock('a', { session: 'dedicated' }, work),
        locks.tryWithLock('a', work),
        locks.acquire('a'),
        locks.tryAcquire(['a', 'b'], { timeout: '1s' }),
      ]) {
        const { message } = await rejection(call, NamedLockConfigurationError)
        expect(message).to.match(reason)
      }
      await rejection(locks.transaction('a', { session: 'dedicated' } as object, work), NamedLockConfigurationError)
      expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
    })

    through('sees what was committed before the lock came, at every level', POOLED, async (behind) => {
      const locks = await behind.service({ maxSessions: 8 }, await behind.dataSource({ poolSize: 20 }))
      const table = `${ctx.database}.seen`
      await ctx.outsider.query(`CREATE TABLE ${table} (level TEXT, v INT)`)
      const both = (level: string): readonly string[] => [`first ${level}`, `second ${level}`]
      for (const level of LEVELS) {
        await ctx.outsider.query(`INSERT INTO ${table} VALUES ('${level}', 0)`)
        for (const name of both(level)) await ctx.outsider.getLock(key(name))
      }
      const waiting = LEVELS.map((isolation) =>
        locks.transaction(both(isolation), { isolation, timeout: '50s' }, async (manager, lock) => {
          const { transaction_isolation: level } = (await manager.query('SHOW transaction_isolation'))[0]
          expect(level).to.equal(isolation.toLowerCase())
          const row = `${table} WHERE level = '${isolation}'`
          const seen = async (): Promise<unknown> => (await manager.query(`SELECT v FROM ${row}`))[0].v
          const first = await seen()
          const nested = manager.transaction(async (inner) => {
            await inner.query(`UPDATE ${table} SET v = 1000 WHERE level = '${isolation}'`)
            throw new Error('back to the savepoint')
          })
          await rejection(nested)
          expect(await seen()).to.equal(first)
          expect(await lock.verify(), 'after a savepoint was rolled back').to.equal(true)
          // What the wait has set is gone, and what makes the lease is there.
          const [set] = await manager.query(
            "SELECT current_setting('lock_timeout') AS l, current_setting('idle_in_transaction_session_timeout') AS i",
          )
          expect(set).to.deep.equal({ l: '0', i: '31s' })
          return first
        }),
      )
      for (const [i, v] of [10, 20].entries()) {
        // For the first name they block, 50 ms at a time; with the first lock in hand they poll for the second.
        const [status, seen] = [i === 0 ? 'PENDING' : 'GRANTED', new Set<string>()]
        await until('all of them wait', async () => {
          const rows = (await ctx.outsider.userLocksOf(ctx.database)).filter((row) => row.status === status)
          for (const level of LEVELS)
            if (rows.some((lock) => lock.key === both(level).map(key).sort()[0])) seen.add(level)
          return seen.size === LEVELS.length
        })
        await ctx.outsider.query(`UPDATE ${table} SET v = ${v}`)
        for (const level of LEVELS) await ctx.outsider.releaseLock(waited(level))

        // Several names are taken in the order of their keys.
        function waited(level: string): string {
          return both(level).map(key).sort()[i]!
        }
      }
      expect(await Promise.all(waiting)).to.deep.equal([20, 20, 20, 20])
      // Nothing of a session is left on any connection that goes back to the pooler.
      expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
    })

    through(
      'excludes four processes through a pooler with fewer connections than callers',
      { ...POOLED, poolSize: 3 },
      async (behind) => {
        const table = `${ctx.database}.counter`
        await ctx.outsider.query(`CREATE TABLE ${table} (value INT NOT NULL)`)
        await ctx.outsider.query(`INSERT INTO ${table} VALUES (0)`)
        const [callers, times] = [2, 10]
        const children = LEVELS.map((isolation) =>
          ctx.startChild('count-in-transaction.ts', {
            ...{ name: 'counter', table, callers, times, isolation },
            dataSource: behind.pooler.address,
            service: { pooling: 'transaction' },
          }),
        )
        for (const child of children) await child.next('ready')
        for (const child of children) child.send({ type: 'go' })
        await Promise.all(children.map((child) => child.exited))
        expect(Number(await ctx.outsider.value(`SELECT value FROM ${table}`))).to.equal(
          children.length * callers * times,
        )
      },
      120_000,
    )

    through(
      'does not block itself with many callers of several names and few connections',
      { ...POOLED, poolSize: 2 },
      async (behind) => {
        const services = [
          await behind.service({}, await behind.dataSource({ poolSize: 3 })),
          await behind.service({}, await behind.dataSource({ poolSize: 8 })),
          await behind.service({ maxSessions: 1 }, await behind.dataSource({ poolSize: 4 })),
        ]
        let running = 0
        const calls = services.flatMap((locks, i) =>
          Array.from({ length: 10 }, (_, n) =>
            locks.transaction((n + i) % 2 ? ['x', 'y'] : ['y', 'x'], { timeout: '100s' }, async (manager) => {
              expect(++running).to.equal(1)
              await manager.query('SELECT 1')
              running--
            }),
          ),
        )
        await Promise.all(calls)
      },
    )

    through('shares its keys with services and SQL past the pooler', POOLED, async (behind) => {
      const [pooled, direct] = [await behind.service(), await ctx.service()]
      const order: string[] = []
      const lock = await direct.acquire('shared')
      const waiting = pooled.transaction('shared', async () => {
        order.push('pooled')
        expect(await direct.tryAcquire('shared')).to.equal(null)
        await rejection(direct.acquire('shared', { timeout: 50 }), NamedLockTimeoutError)
      })
      await until('it waits', async () => (await direct.list({ waiting: true })).length === 1)
      order.push('direct')
      await lock.release()
      await waiting
      expect(order).to.deep.equal(['direct', 'pooled'])
      await ctx.outsider.getLock('7')
      // The error names the holder if that can be found out at once.
      await until('a timeout tells the holder', async () => {
        const busy = pooled.transaction(7n, { exactName: true, timeout: 50 }, () => undefined)
        return (await rejection(busy, NamedLockTimeoutError)).holder?.connectionId === ctx.outsider.id
      })
      await ctx.outsider.releaseLock('7')
    })

    through('leaves nothing behind when timeouts and aborts meet grants', POOLED, async (behind) => {
      const locks = await behind.service({ maxSessions: 8 }, await behind.dataSource({ poolSize: 20 }))
      const names = Array.from({ length: 10 }, (_, i) => `raced ${i}`)
      const other = await behind.dataSource({ poolSize: 4 })
      let isOver = false
      const bystanders = Array.from({ length: 2 }, async () => {
        // A cancel that comes late would hit the next user of the connection.
        while (!isOver) await other.query('SELECT pg_sleep(0.001)')
      })
      let granted = 0
      let left = 0
      await Promise.all(
        names.map(async (name, i) => {
          const outsider = await ctx.connectOutsider()
          for (let round = 0; round < 40; round++) {
            expect(await outsider.getLock(key(name), 8), 'free after the round before').to.equal(true)
            const controller = ctx.abortController()
            const isAborted = (round + i) % 2 === 0
            const waiting = locks.transaction(
              name,
              { timeout: isAborted ? '30s' : 3 + (round % 5), signal: controller.signal },
              async (_manager, lock) => {
                granted++
                expect(lock.isHeld).to.equal(true)
              },
            )
            const ended = waiting.catch((error: unknown) => {
              left++
              if (error !== 'enough') expect(error).to.be.instanceOf(NamedLockTimeoutError)
            })
            await new Promise((resolve) => setTimeout(resolve, round % 6))
            const released = outsider.releaseLock(key(name))
            if (isAborted) controller.abort('enough')
            await Promise.all([ended, released])
          }
        }),
      )
      expect(granted + left).to.equal(400)
      expect(left).to.be.above(40)
      isOver = true
      await Promise.all(bystanders)
      await until('all of them are free', async () => (await ctx.outsider.userLocksOf(ctx.database)).length === 0)
      const open =
        "SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
      await until('no transaction is open', async () => (await ctx.outsider.value(open)) === 0, { within: 8_000 })
      // On whichever connection of the pooler: all of them work, and none owns a lock that its next user would inherit.
      await Promise.all(
        names.map((name) =>
          locks.transaction(name, { timeout: '20s' }, async (_manager, lock) =>
            expect(await lock.verify()).to.equal(true),
          ),
        ),
      )
      await until('all are free', async () => (await ctx.outsider.userLocksOf(ctx.database)).length === 0)
    })

    through(
      'loses lock and transaction together when the pooler dies, and goes on when it is back',
      POOLED,
      async (behind) => {
        const locks = await behind.service()
        const direct = await ctx.service()
        await ctx.outsider.query(`CREATE TABLE ${ctx.database}.written (v INT)`)
        let signal: AbortSignal | undefined
        const run = locks.transaction('fragile', async (manager, lock) => {
          signal = lock.signal
          await manager.query(`INSERT INTO ${ctx.database}.written VALUES (1)`)
          await behind.pooler.kill()
          await until('the loss is noticed', () => !lock.isHeld)
          await manager.query('SELECT 1')
        })
        const next = direct.transaction('fragile', { timeout: '30s' }, (manager) =>
          manager.query(`SELECT count(*)::int AS n FROM ${ctx.database}.written`),
        )
        const error = await rejection(run, NamedLockLostError)
        expect(error.outcome).to.equal('rolledBack')
        expect(signal?.aborted).to.equal(true)
        expect(await next).to.deep.equal([{ n: 0 }])
        await behind.pooler.restart()
        expect(await locks.transaction('fragile', () => 'again')).to.equal('again')
        // Also for callers that were waiting on the server.
        await ctx.outsider.getLock(key('fragile'))
        const waiting = locks.transaction('fragile', { timeout: '30s' }, () => 'late').catch((reason: Error) => reason)
        await until('it waits', async () => (await ctx.outsider.userLocksOf(ctx.database)).length > 0)
        await behind.pooler.restart()
        await ctx.outsider.releaseLock(key('fragile'))
        expect(await waiting).to.satisfy((end: unknown) => end === 'late' || end instanceof Error)
        expect(await locks.transaction('fragile', () => 'again')).to.equal('again')
      },
    )

    through(
      'keeps a silent transaction alive, and the server ends one whose client is silent for good',
      POOLED,
      async (behind) => {
        const locks = await behind.service({ lease: '1s' })
        const startedAt = performance.now()
        await locks
          .transaction('quiet', async (manager, lock) => {
            const [{ t }] = await manager.query("SELECT current_setting('idle_in_transaction_session_timeout') AS t")
            expect(t).to.equal('2s')
            await until('the lease would have run out', () => performance.now() - startedAt > 2_600)
            // A machine that stands still for longer than the lease gets that as the reason, and this is no such case.
            if (lock.isHeld) expect(await lock.verify()).to.equal(true)
          })
          .catch((error: unknown) => expect(error).to.be.instanceOf(NamedLockLostError))
        const child = ctx.startChild('transact.ts', {
          ...{ name: 'silent', statement: 'SELECT 1' },
          dataSource: behind.pooler.address,
          service: { pooling: 'transaction', lease: '1s' },
        })
        await child.next('inside')
        child.stop()
        const direct = await ctx.service()
        expect(await direct.withLock('silent', { timeout: '30s' }, () => 'free again')).to.equal('free again')
        child.cont()
        child.send({ type: 'end' })
        expect(await child.next('failed')).to.include({ code: 'LOST', outcome: 'rolledBack' })
        await child.exited
      },
    )

    through(
      'lockTransaction: lasts to the end, refuses what would lose it, and leaves the transaction usable',
      POOLED,
      async (behind) => {
        const dataSource = await behind.dataSource()
        const locks = await behind.service({}, dataSource)
        await ctx.outsider.getLock(key('busy'))
        await dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, 'mine')
          await rejection(locks.lockTransaction(manager, 'mine'), NamedLockReentrancyError)
          await rejection(locks.lockTransaction(manager, 'busy', { timeout: 60 }), NamedLockTimeoutError)
          const controller = ctx.abortController()
          const aborted = locks.lockTransaction(manager, 'busy', { timeout: '30s', signal: controller.signal })
          await until('it waits', async () =>
            (await ctx.outsider.userLocksOf(ctx.database)).some(({ status }) => status === 'PENDING'),
          )
          controller.abort(new Error('enough'))
          expect((await rejection(aborted)).message).to.equal('enough')
          await rejection(
            manager.transaction(async (nested) => {
              await locks.lockTransaction(nested, 'inside')
            }),
            NamedLockConfigurationError,
          )
          expect(await manager.query('SELECT 1 AS usable')).to.deep.equal([{ usable: 1 }])
          expect(await isFree('mine')).to.equal(false)
          expect(await isFree('inside')).to.equal(true)
        })
        expect(await isFree('mine')).to.equal(true)
        for (const level of ['REPEATABLE READ', 'SERIALIZABLE'] as const) {
          const old = dataSource.transaction(level, (manager) => locks.lockTransaction(manager, 'mine'))
          expect((await rejection(old, NamedLockConfigurationError)).message).to.include(level)
        }
        await ctx.outsider.releaseLock(key('busy'))
        expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
      },
    )

    through('has readers together and a writer alone, at every level', POOLED, async (behind) => {
      const locks = await behind.service({}, await behind.dataSource({ poolSize: 20 }))
      let readers = 0
      const both = LEVELS.map((isolation) =>
        locks.transaction('prices', { mode: 'read', isolation, timeout: '50s' }, async () => {
          readers++
          await until('all of them read', () => readers === LEVELS.length)
          expect(await ctx.outsider.getLock(key('prices')), 'a writer beside readers').to.equal(false)
        }),
      )
      await Promise.all(both)
      await locks.transaction('prices', { timeout: '50s' }, async () => {
        expect(await ctx.outsider.value(`SELECT pg_try_advisory_lock_shared(${key('prices')})`)).to.equal(false)
      })
      await until('it is free', () => isFree('prices'))
    })

    through('reports a deadlock of two transactions by the server', POOLED, async (behind) => {
      const [one, two] = [await behind.dataSource(), await behind.dataSource()]
      const services = [await behind.service({}, one), await behind.service({}, two)] as const
      const first = new Set<string>()
      const cross = (i: 0 | 1, names: [string, string]) =>
        [one, two][i]!.transaction(async (manager) => {
          await services[i].lockTransaction(manager, names[0])
          first.add(names[0])
          await until('both have one', () => first.size === 2)
          await services[i].lockTransaction(manager, names[1], { timeout: '50s' })
        })
      const ends = await Promise.allSettled([cross(0, ['a', 'b']), cross(1, ['b', 'a'])])
      const failed = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []))
      expect(failed).to.have.length(1)
      expect(failed[0]).to.be.instanceOf(NamedLockDeadlockError)
    })

    through('keeps the rules of scopes, limits and closing', POOLED, async (behind) => {
      const dataSource = await behind.dataSource()
      const locks = await behind.service({ maxLocks: 2, closeTimeout: 50 }, dataSource)
      await locks.transaction('outer', async (manager) => {
        await rejection(
          locks.transaction('new', () => undefined),
          NamedLockInsideTransactionError,
        )
        const nested = locks.transaction('outer', { reentrant: true }, async (inner) => {
          expect(inner).to.equal(manager)
          throw new Error('only the savepoint')
        })
        expect((await rejection(nested)).message).to.equal('only the savepoint')
        expect(await isFree('outer')).to.equal(false)
        await locks.lockTransaction(manager, 'added')
        await rejection(locks.lockTransaction(manager, 'third'), NamedLockConfigurationError)
      })
      await rejection(
        dataSource.transaction(() => locks.transaction('a', () => undefined)),
        NamedLockInsideTransactionError,
      )
      const own = new Error('my own')
      expect(await rejection(locks.transaction('a', () => Promise.reject(own)))).to.equal(own)
      expect(await locks.runMigrations()).to.deep.equal([])

      const isIn = new Promise<void>((resolve) => {
        void rejection(
          locks.transaction('a', async (_manager, lock) => {
            resolve()
            await until('the lock is taken away', () => lock.signal.aborted)
          }),
          NamedLockLostError,
        )
      })
      await isIn
      const waiting = rejection(
        locks.transaction('a', { timeout: '50s' }, () => undefined),
        NamedLockClosedError,
      )
      await locks.close()
      await waiting
      await until('it is free', () => isFree('a'))
    })
  })

  it('is an error on servers that have no such locks', () => {
    for (const type of ['mysql', 'mariadb']) {
      const dataSource = { options: { type }, isInitialized: false, createQueryRunner: () => undefined } as never
      expect(() => new NamedLockService(dataSource, { pooling: 'transaction' })).to.throw(
        NamedLockConfigurationError,
        'for PostgreSQL',
      )
    }
    const dataSource = {
      options: { type: 'postgres' },
      isInitialized: false,
      createQueryRunner: () => undefined,
    } as never
    expect(() => new NamedLockService(dataSource, { pooling: 'both' as never })).to.throw(
      NamedLockConfigurationError,
      'pooling',
    )
  })
})
