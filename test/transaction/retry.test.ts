import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import { NamedLock, WithNamedLock, type NamedLockEvents, type NamedLockService } from '../../src/index.js'
import { instrumentNamedLocks } from '../../src/opentelemetry/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { reasonOf } from '../support/rejection.js'
import { typeorms, type DataSource } from '../support/typeorms.js'
import { until } from '../support/until.js'
import { Stock } from './support/stock.js'
import { fallVictim, rowsAreFree } from './support/victim.js'

/** The option `retry`: work runs again when the server has rolled its transaction back. */
describe('the repetition of a transaction', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      const stock = new Stock(ctx)
      let dataSource: DataSource
      let locks: NamedLockService
      let others: DataSource
      let retried: NamedLockEvents['retried'][0][]

      beforeEach(async () => {
        await stock.fill(8)
        dataSource = await ctx.dataSource()
        others = await ctx.dataSource()
        locks = await ctx.service({}, dataSource)
        retried = []
        locks.on('retried', (event) => void retried.push(event))
      })

      const counts = async () => [await stock.count(0), await stock.count(1), await stock.count(2)]
      const both = async (manager: EntityManager) => {
        await rowsAreFree()
        await stock.add(manager, 0)
        await stock.add(manager, 1)
      }
      const victim = (manager: EntityManager, second?: (manager: EntityManager) => Promise<unknown>) =>
        fallVictim(ctx, stock, others, manager, second)

      it('runs the work again after a deadlock, in a new transaction with the same lock and the same isolation', async () => {
        const seen: unknown[] = []
        const handles = new Set<NamedLock>()
        const managers = new Set<EntityManager>()
        const holders = new Set<unknown>()
        const call = { retry: { deadlock: 2 }, isolation: 'READ COMMITTED' } as const
        const result = await locks.transaction('a', call, async (manager, lock) => {
          handles.add(lock)
          managers.add(manager)
          holders.add(await ctx.outsider.holderOf(ctx.keyOf('a')))
          expect(lock.manager).to.equal(manager)
          expect(locks.manager).to.equal(manager)
          expect(NamedLock.current('a')).to.equal(lock)
          const { data } = manager.queryRunner!
          expect(data).to.deep.equal({})
          data.mine = 'of this try'
          await stock.read(manager, 3)
          await ctx.outsider.query(`UPDATE ${stock.table} SET n = n + 1 WHERE id = 3`)
          seen.push(await stock.read(manager, 3)) // a repeatable read would not see it
          if (managers.size < 3) await victim(manager)
          else await both(manager)
          return `after ${managers.size} tries`
        })
        expect(result).to.equal('after 3 tries')
        expect(await counts()).to.deep.equal([1, 1, 0])
        expect(seen).to.deep.equal([1, 2, 3])
        expect([handles.size, managers.size, holders.size]).to.deep.equal([1, 3, 1])
        expect(retried.map(({ name, key, reason, tries }) => [name, key, reason, tries])).to.deep.equal([
          ['a', ctx.keyOf('a'), 'deadlock', 1],
          ['a', ctx.keyOf('a'), 'deadlock', 2],
        ])
      })

      it('is an event of the span of the hold, and counted', async () => {
        const spans = new InMemorySpanExporter()
        const tracerProvider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
        const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
        const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
        const meterProvider = new MeterProvider({ readers: [reader] })
        const stop = instrumentNamedLocks(locks, { tracerProvider, meterProvider })
        let tries = 0
        await locks.transaction('a', { retry: { deadlock: 1 } }, (manager) =>
          ++tries < 2 ? victim(manager) : both(manager),
        )
        stop()
        await meterProvider.forceFlush()
        const metrics = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((one) => one.metrics))
        const [point] = metrics.find(({ descriptor }) => descriptor.name === 'named_lock.retries')!.dataPoints
        expect([point!.value, point!.attributes['named_lock.retry.reason']]).to.deep.equal([1, 'deadlock'])
        const hold = spans.getFinishedSpans().find(({ name }) => name === 'named_lock.hold')!
        expect(hold.events.map(({ name, attributes }) => [name, attributes])).to.deep.equal([
          ['named_lock.retry', { 'named_lock.retry.reason': 'deadlock', 'named_lock.retry.tries': 1 }],
        ])
        await meterProvider.shutdown()
      })

      it('keeps the lock between the tries', async () => {
        const outside = await ctx.service()
        let isOver = false
        const attempt = async () => {
          const got: unknown[] = []
          while (!isOver) {
            const lock = await outside.tryAcquire('a')
            if (lock && !isOver) got.push(lock)
            await lock?.release()
          }
          return got
        }
        let attempts: Promise<unknown[]> | undefined
        let tries = 0
        await locks.transaction('a', { retry: { deadlock: 3 } }, async (manager) => {
          attempts ??= attempt()
          if (++tries < 4) await victim(manager)
          isOver = true
        })
        expect(await attempts).to.deep.equal([])
        expect(tries).to.equal(4)
      })

      it('does not depend on what the work makes of the error', async () => {
        const makes: Record<string, (failed: Promise<unknown>, manager: EntityManager) => Promise<unknown>> = {
          'another error': (failed) => failed.catch(() => Promise.reject(new Error('503'))),
          nothing: (failed) => failed.catch(() => undefined),
          'another statement': (failed, manager) => failed.catch(() => stock.add(manager, 2)),
          'nothing but a reason': (failed) => failed.catch(() => Promise.reject('busy')),
          'a savepoint': (failed) => failed,
        }
        for (const [what, make] of Object.entries(makes)) {
          await stock.fill(8)
          let tries = 0
          await locks.transaction(what, { retry: { deadlock: 1 } }, async (manager) => {
            if (++tries > 1) return both(manager)
            const run = (inner: EntityManager) => make(victim(inner), inner)
            await (what === 'a savepoint' ? manager.transaction(run) : run(manager))
          })
          expect(tries, what).to.equal(2)
          expect(await counts(), what).to.deep.equal([1, 1, 0])
        }
      })

      it('is the outermost call, also when a nested one has failed', async () => {
        let outer = 0
        let inner = 0
        await locks.transaction('a', { retry: { deadlock: 1 } }, () => {
          outer++
          return locks.transaction('a', { retry: { deadlock: 5 } }, async (manager) => {
            if (++inner === 1) await victim(manager)
            else await both(manager)
          })
        })
        expect([outer, inner]).to.deep.equal([2, 2])
        expect(await counts()).to.deep.equal([1, 1, 0])
        const error = await reasonOf(
          locks.transaction('a', () =>
            locks.transaction('a', { retry: { deadlock: 5 } }, (manager) => {
              inner++
              return victim(manager)
            }),
          ),
        )
        expect(error).to.have.property('driverError')
        expect(inner).to.equal(3)
      })

      it('does not meet what is left of an earlier try', async () => {
        let tries = 0
        let latest: EntityManager | undefined
        const late: Promise<unknown>[] = []
        const second = new Promise<void>((resolve) => {
          locks.on('retried', () => resolve())
        })
        await locks.transaction('a', { retry: { deadlock: 1 } }, async (manager, lock) => {
          latest = manager
          if (++tries === 1) {
            for (const find of [() => manager, () => latest!, () => lock.manager]) {
              const branch = async () => {
                await second
                await until('the second try', () => tries === 2)
                for (let step = 0; step < 5; step++) await stock.add(find(), 2)
              }
              late.push(branch())
            }
            await Promise.all([victim(manager), ...late])
          }
          await both(manager)
          const ends = await Promise.allSettled(late)
          expect(ends.map(({ status }) => status)).to.deep.equal(['rejected', 'rejected', 'rejected'])
          // The manager of the first try is released. The others are the second one's, by a variable and by the handle.
          const [own, ...others] = ends.map((end) => (end as PromiseRejectedResult).reason as Error)
          expect(own?.message).to.match(/released|had ended/)
          for (const { message } of others) expect(message).to.match(/had ended/)
        })
        expect(await counts()).to.deep.equal([1, 1, 0])
      })

      it('releases the locks that were added in an earlier try', async () => {
        let tries = 0
        await locks.transaction('a', { retry: { deadlock: 1 } }, async (manager) => {
          if (++tries === 1) {
            await locks.lockTransaction(manager, 'b')
            await victim(manager)
          }
          expect(await ctx.outsider.holderOf(ctx.keyOf('b'))).to.equal(null)
          await locks.lockTransaction(manager, 'b')
          expect(await locks.isLocked('b')).to.equal(true)
        })
        expect(tries).to.equal(2)
      })

      it('begins and ends with the subscribers of each transaction, which cannot prevent it', async () => {
        const heard: string[] = []
        const hear = (what: string) => () => {
          heard.push(what)
        }
        ;(dataSource.subscribers as object[]).push({
          beforeTransactionStart: hear('start'),
          afterTransactionCommit: hear('committed'),
          beforeTransactionRollback: () => {
            heard.push('rollback')
            throw new Error('a subscriber')
          },
        })
        let tries = 0
        await locks.transaction('a', { retry: { deadlock: 1 } }, async (manager) => {
          if (++tries === 1) await victim(manager)
          else await both(manager)
        })
        expect(heard).to.deep.equal(['start', 'rollback', 'start', 'committed'])
        expect(await counts()).to.deep.equal([1, 1, 0])
      })

      it('serves decorated methods', async () => {
        class Orders {
          tries = 0
          constructor(readonly locks: NamedLockService) {}

          @WithNamedLock((id: string) => id, '5s', { transaction: true, retry: { deadlock: 1 }, holdAtLeast: 300 })
          async pay(id: string): Promise<string> {
            if (++this.tries === 1) await victim(this.locks.manager)
            else await both(this.locks.manager)
            return `paid ${id}`
          }
        }
        const orders = new Orders(locks)
        expect(await orders.pay('a')).to.equal('paid a')
        expect(orders.tries).to.equal(2)
        expect(await counts()).to.deep.equal([1, 1, 0])
      })

      it('follows a snapshot that was too old', async () => {
        const isolation = ctx.isPostgres ? 'REPEATABLE READ' : undefined
        const name = 'innodb_snapshot_isolation'
        // MySQL has no such error; MariaDB has it from 11.6.2 on, and in its older series since about that time.
        if (!ctx.isPostgres && (await ctx.outsider.query(`SHOW VARIABLES LIKE '${name}'`)).length === 0) return
        for (const swallows of [false, true]) {
          await stock.fill(8)
          let tries = 0
          await locks.transaction('a', { isolation, retry: { serialization: 1 } }, async (manager) => {
            if (!ctx.isPostgres) await manager.query(`SET SESSION ${name} = ON`)
            await stock.read(manager)
            // A caller without the lock.
            if (++tries === 1) await ctx.outsider.query(`UPDATE ${stock.table} SET n = 10 WHERE id = 0`)
            const added = stock.add(manager, 0)
            await (swallows ? added.catch(() => undefined) : added)
            await stock.add(manager, 1)
          })
          expect(tries).to.equal(2)
          expect(await counts()).to.deep.equal([11, 1, 0])
        }
        expect(retried.map(({ reason }) => reason)).to.deep.equal(['serialization', 'serialization'])
      })

      // The other servers block instead.
      const onPostgres = ctx.isPostgres ? it : () => undefined
      onPostgres('follows a COMMIT that failed to serialize', async () => {
        const isolation = 'SERIALIZABLE'
        let tries = 0
        let hasReturned = false
        await locks.transaction('a', { isolation, retry: { serialization: 1 } }, async (manager) => {
          const skew = async (of: EntityManager, id: number) => {
            await of.query(`SELECT sum(n) FROM ${stock.table}`)
            await stock.add(of, id)
          }
          await skew(manager, 0)
          if (++tries === 1) await others.transaction(isolation, (other) => skew(other, 1))
          hasReturned = true
        })
        expect([tries, hasReturned, retried.length]).to.deep.equal([2, true, 1])
        expect(await counts()).to.deep.equal([1, 1, 0])
      })

      it('follows a deadlock of metadata locks', async () => {
        ctx.notOnPostgres('its metadata locks are those of any deadlock')
        const rename = `RENAME TABLE ${stock.table} TO ${ctx.database}.renamed, ${ctx.database}.second TO ${ctx.database}.third`
        await ctx.outsider.query(
          `DROP TABLE IF EXISTS ${ctx.database}.second, ${ctx.database}.third, ${ctx.database}.renamed`,
        )
        await ctx.outsider.query(`CREATE TABLE ${ctx.database}.second (id INT) ENGINE=InnoDB`)
        let tries = 0
        const admin = await ctx.connectOutsider()
        let renaming: Promise<unknown> | undefined
        const error = await reasonOf(
          locks.transaction('a', { retry: { deadlock: 2 } }, async (manager) => {
            if (++tries > 1) throw new Error('seen')
            await stock.add(manager, 0)
            renaming = admin.query(rename)
            await until('the rename to wait', async () => {
              const waits = `SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata lock%' AND INFO LIKE 'RENAME%'`
              return Number(await ctx.outsider.value(waits)) > 0
            })
            await manager.query(`INSERT INTO ${ctx.database}.second VALUES (1)`)
          }),
        )
        await renaming
        await ctx.outsider.query(`DROP TABLE ${ctx.database}.renamed, ${ctx.database}.third`)
        expect((error as Error).message).to.equal('seen')
        expect(tries).to.equal(2)
      })
    },
    [...typeorms],
    'core',
  )
})
