import { expect } from 'chai'
import { NamedLockClosedError, NamedLockTimeoutError } from '../../src/index.js'
import { cancelled, hookStatements } from '../engine/statement-hook.js'
import { Behind } from '../support/behind-pgbouncer.js'
import { forEachOwnServer, forEachServerAndTypeorm, type Conformance } from '../support/conformance.js'
import { findPgBouncer, PgBouncer } from '../support/pgbouncer.js'
import { SqlClient } from '../support/sql-client.js'
import { dialectKinds, mysqlKinds } from '../support/servers.js'
import { rejection } from '../support/rejection.js'
import { borrowedConnections, typeorms } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'

const title = (text: string): string => text.replace(/[a-z]/, (letter) => letter.toUpperCase())

/** Each kind of first call: a service must know the database's name before any of them computes a key. */
const firstCalls = ['acquire', 'transaction', 'lockTransaction', 'isLocked', 'list', 'several names'] as const

describe('a database that is configured under several names', function () {
  this.timeout(120_000)

  describe('and a service that must ask the server for the right one', () => {
    forEachServerAndTypeorm(
      (ctx) => {
        // On PostgreSQL always, on the others if the case of the name leaves it open.
        const database = ctx.isPostgres ? ctx.database : `${ctx.database}_ASK`
        before('create it', () => (ctx.isPostgres ? undefined : ctx.outsider.query(`CREATE DATABASE ${database}`)))
        after('drop it', async () => {
          if (ctx.isPostgres) return
          const client = await SqlClient.connect(ctx.server) // the outsider is closed by now
          await client.dropDatabase(database)
          await client.end()
        })

        const ownConnection: Readonly<Record<string, (locks: Service) => Promise<unknown>>> = {
          transaction: (locks) => locks.transaction('a', () => borrowedConnections(locks.dataSource)),
          'several transactions at once': (locks) =>
            Promise.all([1, 2, 3].map(() => locks.transaction('a', () => undefined))).then(() =>
              borrowedConnections(locks.dataSource),
            ),
          'a dedicated lock': (locks) =>
            locks.withLock('a', { session: 'dedicated' }, () => borrowedConnections(locks.dataSource)),
          'an ordinary lock': (locks) => locks.withLock('a', () => borrowedConnections(locks.dataSource)),
        }
        for (const [what, call] of Object.entries(ownConnection)) {
          it(`borrows no more connections for its first call than the call needs: ${what}`, async () => {
            const dataSource = await ctx.dataSource({ database })
            const locks = await ctx.service({}, dataSource)
            expect(await call(locks)).to.equal(1)
            await locks.close()
            await dataSource.destroy()
          })

          for (const kind of ['kill', 'cancel'] as const)
            it(`asks again when the question meets ${kind === 'kill' ? 'KILL' : 'KILL QUERY'}: ${what}`, async () => {
              const dataSource = await ctx.dataSource({ database })
              const hook = hookStatements(dataSource)
              let isMet = false
              hook.spoil = ({ sql, connectionId }) => {
                if (isMet || !/(current_database\(\)::text|LOWER\(.*\)) AS d/.test(sql)) return undefined
                isMet = true
                if (kind === 'cancel') return cancelled(ctx.isPostgres)
                void ctx.outsider.kill(connectionId).catch(() => undefined) // the connection may be gone
                return Object.assign(new Error('the connection was closed'), { fatal: true })
              }
              const locks = await ctx.service({}, dataSource)
              expect(await call(locks)).to.be.at.least(1)
              expect(isMet, 'the question').to.equal(true)
              await locks.close()
              await dataSource.destroy()
            })
        }

        it('ends a first call with the service when no connection comes free', async () => {
          const dataSource = await ctx.dataSource({ database, poolSize: 2 })
          const runners = [1, 2].map(() => dataSource.createQueryRunner())
          for (const runner of runners) await runner.connect()
          const locks = await ctx.service({}, dataSource)
          const calls = [
            locks.transaction('a', () => 1),
            locks.acquire('a', { session: 'dedicated' }),
            locks.acquire('a'),
          ]
          const outcomes = Promise.allSettled(calls)
          const late = await rejection(
            locks.transaction('a', { timeout: 100 }, () => 1),
            NamedLockTimeoutError,
          )
          expect(late.message).to.match(/no connection came free in the DataSource's pool of 2/)
          const closed = locks.close()
          for (const outcome of await settlesWithin(2_000, 'the calls', outcomes))
            expect((outcome as PromiseRejectedResult).reason).to.be.instanceOf(NamedLockClosedError)
          for (const runner of runners) await runner.release()
          await closed
          await until('the connections to be back', () => borrowedConnections(dataSource) === 0)
          await dataSource.destroy()
        })
      },
      typeorms.slice(0, 1),
      undefined,
      dialectKinds,
    )
  })

  describe('on a server that folds the case of names', () => {
    forEachOwnServer(
      (ctx) => {
        it('has one lock for one name, for every kind of first call', async () => {
          for (const first of firstCalls) await excludes(ctx, ctx.database, title(ctx.database), first)
        })

        it('has the lower-case namespace, and unchanged keys for ordinary names', async () => {
          const upper = await ctx.service({}, await ctx.dataSource({ database: title(ctx.database) }))
          await upper.withLock('a', async ({ key }) => {
            expect(key).to.equal(`${ctx.database}.a`)
            const [entry] = await upper.list()
            expect(entry).to.include({ key, name: 'a' })
          })
        })

        it('is the configured one, whichever database a pooled connection uses', async () => {
          const dataSource = await ctx.dataSource({ database: title(ctx.database), poolSize: 2 })
          for (let i = 0; i < 2; i++) await dataSource.query(`USE ${ctx.otherDatabase}`)
          const locks = await ctx.service({}, dataSource)
          expect(await locks.withLock('b', ({ key }) => key)).to.equal(`${ctx.database}.b`)
        })
      },
      () => ['--lower-case-table-names=1'],
      mysqlKinds,
    )
  })

  describe('on a server that does not', () => {
    forEachServerAndTypeorm(
      (ctx) => {
        it('has the name as written', async () => {
          const upper = `${ctx.database}_UP`
          await ctx.outsider.query(`CREATE DATABASE ${upper}`)
          try {
            const service = await ctx.service({}, await ctx.dataSource({ database: upper }))
            const plain = await ctx.service({}, await ctx.dataSource({ database: ctx.database }))
            expect(await service.withLock('a', ({ key }) => key)).to.equal(ctx.keyOf('a', upper))
            expect(await plain.withLock('a', ({ key }) => key)).to.equal(ctx.keyOf('a'))
            await service.close()
            await service.dataSource.destroy()
          } finally {
            await ctx.outsider.dropDatabase(upper)
          }
        })
      },
      typeorms.slice(0, 1),
      undefined,
      mysqlKinds,
    )
  })

  describe('by an alias of a pooler', () => {
    forEachServerAndTypeorm(
      (ctx) => {
        const program = findPgBouncer()
        if (program === undefined) {
          it('has one lock for one name (needs PgBouncer)')
          return
        }
        for (const mode of ['session', 'transaction'] as const) {
          it(`has one lock for one name, ${mode}s pooled`, async () => {
            const aliases = { shop_alias: ctx.database }
            const behind = new Behind(ctx, await PgBouncer.start(program, ctx.address, { mode, aliases }))
            try {
              const pooling = mode
              const direct = await ctx.service()
              for (const first of mode === 'session' ? firstCalls : (['transaction', 'lockTransaction'] as const)) {
                const dataSource = await behind.dataSource({ database: 'shop_alias' })
                const locks = await behind.service({ pooling }, dataSource)
                await expectExcluded(direct, locks, first)
              }
            } finally {
              await behind.end()
            }
          })
        }
      },
      typeorms.slice(0, 1),
      undefined,
      dialectKinds.filter((kind) => kind === 'postgres'),
    )
  })
})

async function excludes(
  ctx: Conformance,
  one: string,
  other: string,
  first: (typeof firstCalls)[number],
): Promise<void> {
  const a = await ctx.service({}, await ctx.dataSource({ database: one }))
  const b = await ctx.service({}, await ctx.dataSource({ database: other }))
  await expectExcluded(a, b, first)
  await expectExcluded(b, a, first)
}

type Service = Awaited<ReturnType<Conformance['service']>>

async function expectExcluded(holder: Service, other: Service, first: (typeof firstCalls)[number]): Promise<void> {
  const held = await holder.acquire('stock')
  const { dataSource } = other
  switch (first) {
    case 'acquire':
      expect(await other.tryAcquire('stock'), first).to.equal(null)
      break
    case 'several names':
      expect(await other.tryAcquire(['others', 'stock']), first).to.equal(null)
      break
    case 'isLocked':
      expect(await other.isLocked('stock'), first).to.equal(true)
      break
    case 'list':
      expect(
        (await other.list()).map(({ key }) => key),
        first,
      ).to.include(held.key)
      break
    default: {
      const running =
        first === 'transaction'
          ? other.transaction('stock', { timeout: 300 }, () => 'inside')
          : dataSource.transaction((manager) => other.lockTransaction(manager, 'stock', { timeout: 300 }))
      expect(await running.then(String, (error: { code?: string }) => error.code), first).to.equal('TIMEOUT')
    }
  }
  await held.release()
}
