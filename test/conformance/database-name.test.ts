import { expect } from 'chai'
import { Behind } from '../support/behind-pgbouncer.js'
import { forEachOwnServer, forEachServerAndTypeorm, type Conformance } from '../support/conformance.js'
import { findPgBouncer, PgBouncer } from '../support/pgbouncer.js'
import { dialectKinds, mysqlKinds } from '../support/servers.js'
import { typeorms } from '../support/typeorms.js'

const title = (text: string): string => text.replace(/[a-z]/, (letter) => letter.toUpperCase())

/** Each way to ask first for a lock: a service has to know the database's name before any of them computes a key. */
const firstCalls = ['acquire', 'transaction', 'lockTransaction', 'isLocked', 'list', 'several names'] as const

describe('a database that is configured by several names', function () {
  this.timeout(120_000)

  describe('where the server folds the case of names', () => {
    forEachOwnServer(
      (ctx) => {
        it('has one lock by one name, whichever call is the first of a service', async () => {
          for (const first of firstCalls) await excludes(ctx, ctx.database, title(ctx.database), first)
        })

        it('has the lower-case namespace, and keys of an ordinary name are as ever', async () => {
          const upper = await ctx.service({}, await ctx.dataSource({ database: title(ctx.database) }))
          await upper.withLock('a', async ({ key }) => {
            expect(key).to.equal(`${ctx.database}.a`)
            const [entry] = await upper.list()
            expect(entry).to.include({ key, name: 'a' })
          })
        })

        it('is what was configured, whatever database a pooled connection uses', async () => {
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

  describe('where it does not', () => {
    forEachServerAndTypeorm(
      (ctx) => {
        it('has the name as it is written', async () => {
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
          it('has one lock by one name (needs PgBouncer)')
          return
        }
        for (const mode of ['session', 'transaction'] as const) {
          it(`has one lock by one name, ${mode}s pooled`, async () => {
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
