import { expect } from 'chai'
import { forEachDialect } from '../support/conformance.js'
import { connectionsIn, onNewConnection, type DataSource, type RawConnection } from '../support/typeorms.js'

/** More lone requests than a session sends as plain text. */
const MANY = 40

describe('statements on PostgreSQL', () => {
  forEachDialect((ctx) => {
    beforeEach(function () {
      if (!ctx.isPostgres) this.skip()
    })

    /** What the connection that holds the lock has sent last, as the server knows it. */
    async function lastStatement(name: string): Promise<string> {
      const holder = await ctx.outsider.holderOf(ctx.keyOf(name))
      return String(await ctx.outsider.value(`SELECT query FROM pg_stat_activity WHERE pid = ${holder}`))
    }

    function everyConnection(dataSource: DataSource, then: (connection: RawConnection) => void): void {
      for (const connection of connectionsIn(dataSource)) then(connection)
      onNewConnection(dataSource, then)
    }

    it('of a lone caller are prepared once there are many, and mean the same', async () => {
      const locks = await ctx.service()
      for (let i = 0; i < MANY; i++) await locks.withLock(`often ${i % 3}`, () => {})
      await locks.withLock('shown', async () => {
        // Not EXECUTE, which the server would have to read each time.
        expect(await lastStatement('shown')).to.match(/^PREPARE /)
        expect(await ctx.outsider.getLock(ctx.keyOf('shown'))).to.equal(false)
      })
      expect(await ctx.outsider.getLock(ctx.keyOf('shown'))).to.equal(true)
      expect(await locks.tryAcquire('shown')).to.equal(null)
      await ctx.outsider.releaseLock(ctx.keyOf('shown'))
    })

    it('are gone from a connection that goes back to the pool', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const locks = await ctx.service({}, dataSource)
      for (let i = 0; i < MANY; i++) await locks.withLock('often', () => {})
      await locks.close()
      const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()]
      for (const runner of runners) {
        expect(await runner.query('SELECT name FROM pg_prepared_statements')).to.deep.equal([])
      }
      for (const runner of runners) await runner.release()
    })

    it('work with instrumentation that copies them', async () => {
      const dataSource = await ctx.dataSource()
      let copied = 0
      everyConnection(dataSource, (connection) => {
        const original = connection.query.bind(connection)
        connection.query = (statement: object | string, ...rest: any[]) => {
          if (typeof statement === 'string') return original(statement, ...rest)
          copied++
          return original({ ...statement }, ...rest)
        }
      })
      const locks = await ctx.service({}, dataSource)
      for (let i = 0; i < MANY; i++) await locks.withLock(`often ${i % 3}`, () => {})
      await Promise.all(Array.from({ length: MANY }, (_, i) => locks.withLock(`at once ${i % 30}`, () => {})))
      const lock = await locks.acquire('held')
      expect(await lock.verify()).to.equal(true)
      expect(await ctx.outsider.getLock(ctx.keyOf('held'))).to.equal(false)
      await lock.release()
      expect(copied).to.be.greaterThan(MANY)
    })
  })
})
