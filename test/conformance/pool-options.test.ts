import { expect } from 'chai'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { NamedLockConfigurationError } from '../../src/index.js'
import { settlesWithin, until } from '../support/until.js'
import { borrowedConnections, type DataSource } from '../support/typeorms.js'

describe('a pool as the application configures it', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      const transactions = (dataSource: DataSource) =>
        Promise.all(Array.from({ length: 8 }, () => dataSource.transaction((manager) => manager.query('SELECT 1'))))

      for (const how of ['poolSize', 'extra'] as const) {
        it(`leaves connections to the work when its size is a string: ${how}`, async () => {
          const limit = Object.keys(ctx.poolOf(0))[0] as string
          const more = how === 'extra' ? { extra: { [limit]: '3' } } : { poolSize: '3' }
          const dataSource = await ctx.dataSource({ more })
          const locks = await ctx.service({}, dataSource)
          const names = Array.from({ length: 12 }, (_, i) => `n${i % 6}`)
          const calls = names.map((name) => locks.transaction(name, (manager) => manager.query('SELECT 1')))
          await settlesWithin(8_000, 'transactions with locks', Promise.all(calls))
          const work = names.map((name) => locks.withLock(name, () => dataSource.query('SELECT 1')))
          await settlesWithin(8_000, 'work under locks', Promise.all(work))
        })
      }

      it('is refused when it never provides a connection', async () => {
        const dataSource = ctx.rawDataSource({ more: { poolSize: '-3' } })
        const error = await rejection(ctx.service({}, dataSource), NamedLockConfigurationError)
        expect(error.message).to.match(/poolSize is '-3'/)
      })

      it('is refused when its size is not a number', async () => {
        const locks = await ctx.service({}, await ctx.dataSource({ more: { poolSize: '20 connections' } }))
        expect((await locks.check()).map(({ code }) => code)).to.deep.equal(['POOL_SIZE_NOT_A_NUMBER'])
      })

      it('gets idle sessions back at once when the application waits, also with replication', async () => {
        for (const replicated of [false, true]) {
          const { kind, ...address } = ctx.address
          const more = replicated ? { replication: { master: address, slaves: [], restoreNodeTimeout: 500 } } : {}
          const dataSource = await ctx.dataSource({ poolSize: 2, more })
          expect(kind).to.equal(ctx.kind)
          const locks = await ctx.service({}, dataSource)
          await locks.withLock('used', () => {})
          await locks.transaction('used', () => Promise.resolve())
          if (!ctx.isPostgres)
            expect(borrowedConnections(dataSource), 'idle sessions kept for a while').to.be.greaterThan(0)
          // Far below the second for which an idle session is kept.
          await settlesWithin(700, `transactions, replicated: ${replicated}`, transactions(dataSource))
          await locks.close()
          await until('all is back', () => borrowedConnections(dataSource) === 0)
        }
      })
    },
    undefined,
    'core',
  )
})
