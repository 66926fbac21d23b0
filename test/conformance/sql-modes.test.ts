import { expect } from 'chai'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { connectionsIn, poolOf, type RawConnection } from '../support/typeorms.js'

const nasty = [
  "x',0),sleep(5) -- ",
  "\\',0),sleep(5) -- ",
  '\\',
  "'",
  '"',
  '`',
  "\\'",
  '\\"',
  "'; DROP TABLE t; --",
  '%',
  '\n',
]

describe('sessions with another sql_mode', () => {
  forEachDialectAndTypeorm((ctx) => {
    beforeEach(() => ctx.notOnPostgres('there is no sql_mode'))

    for (const mode of [
      'NO_BACKSLASH_ESCAPES',
      'ANSI_QUOTES',
      'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,IGNORE_SPACE',
    ]) {
      it(`lock the right names: ${mode}`, async () => {
        const dataSource = await ctx.dataSource()
        const setMode = (connection: RawConnection) => connection.query(`SET SESSION sql_mode = '${mode}'`)
        connectionsIn(dataSource).forEach(setMode)
        poolOf(dataSource).on('connection', setMode)
        const locks = await ctx.service({}, dataSource)
        await ctx.outsider.getLock(`${ctx.database}.busy`)
        expect(await locks.tryAcquire('busy', { timeout: 1100 })).to.equal(null)
        await ctx.outsider.releaseLock(`${ctx.database}.busy`)

        await locks.withLock('mode', { session: 'dedicated' }, async ({ manager }) => {
          const [row] = await manager.query('SELECT @@sql_mode AS mode')
          for (const part of mode.split(',')) expect(row.mode).to.include(part)
        })

        const start = performance.now()
        for (const options of [{}, { exactName: true }]) {
          const held = await Promise.all(nasty.map((name) => locks.acquire(name, options)))
          for (const { name, key } of held) {
            if (options.exactName) expect(key).to.equal(name)
            expect(await ctx.outsider.holderOf(key), JSON.stringify(name)).not.to.equal(null)
            expect(await ctx.outsider.getLock(key), JSON.stringify(name)).to.equal(false)
          }
          await Promise.all(held.map((lock) => lock.release()))
          for (const { key } of held) expect(await ctx.outsider.holderOf(key), key).to.equal(null)
        }
        expect(performance.now() - start, 'no statement slept').to.be.lessThan(4_000)
      })
    }
  })
})
