import { expect } from 'chai'
import { NamedLockLostError, type NamedLockService } from '../../src/index.js'
import { forEachServer } from '../support/conformance.js'
import { settlesWithin } from '../support/until.js'

/** More lone requests than a session sends as plain text. */
const MANY = 40

describe('the statements of a lone caller', () => {
  forEachServer((ctx) => {
    const status = async (name: string): Promise<number> => {
      const [row] = await ctx.outsider.query<{ Value: string }>(`SHOW GLOBAL STATUS LIKE '${name}'`)
      return Number(row?.Value)
    }

    async function lockOften(locks: NamedLockService, name: string, options = {}): Promise<void> {
      for (let i = 0; i < MANY; i++) await locks.withLock(name, options, () => {})
    }

    it('are prepared once there are many, and mean the same', async () => {
      const locks = await ctx.service()
      const before = await status('Com_stmt_execute')
      await lockOften(locks, "x',0),sleep(9) -- \\")
      expect(await status('Com_stmt_execute')).to.be.at.least(before + MANY)
      await locks.withLock('shown', async () => {
        expect(await ctx.outsider.getLock(`${ctx.database}.shown`)).to.equal(false)
      })
      expect(await ctx.outsider.getLock(`${ctx.database}.shown`)).to.equal(true)
      expect(await locks.tryAcquire('shown')).to.equal(null)
      await ctx.outsider.releaseLock(`${ctx.database}.shown`)
    })

    it('stay plain for keys that depend on a character set', async () => {
      const locks = await ctx.service()
      await lockOften(locks, 'warm')
      const name = `${ctx.database}.é`
      await locks.withLock(name, { exactName: true }, async () => {
        expect(await ctx.outsider.getLock(name)).to.equal(false)
      })
    })

    it('stay plain where the server has no room for more', async () => {
      const most = await ctx.outsider.value('SELECT @@GLOBAL.max_prepared_stmt_count')
      await ctx.outsider.query('SET GLOBAL max_prepared_stmt_count=0')
      try {
        const locks = await ctx.service()
        const failures: unknown[] = []
        locks.on('releaseFailed', (event) => failures.push(event))
        await lockOften(locks, 'plain')
        expect(failures).to.deep.equal([])
      } finally {
        await ctx.outsider.query(`SET GLOBAL max_prepared_stmt_count=${Number(most)}`)
      }
    })

    it('are gone when their connection goes back to the pool', async () => {
      const before = await status('Prepared_stmt_count')
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      await lockOften(locks, 'often')
      expect(await status('Prepared_stmt_count')).to.equal(before + 2)
      await locks.close()
      // On the same connection: what was sent before is done.
      await dataSource.query('SELECT 1')
      expect(await status('Prepared_stmt_count')).to.equal(before)
    })

    it('survive that somebody cancels them again and again', async function () {
      this.timeout(60_000)
      const locks = await ctx.service()
      await lockOften(locks, 'warm')
      const killer = await ctx.connectOutsider()
      let isOver = false
      const killing = (async () => {
        while (!isOver) {
          // Gone when the look at what was cancelled is cancelled as well: then a new session takes its place.
          for (const { id } of await killer.connectionsOf(ctx.database))
            await killer.query(`KILL QUERY ${id}`).catch(() => undefined)
        }
      })()
      let done = 0
      try {
        for (let i = 0; i < 120; i++) {
          const call = locks.withLock(`busy ${i}`, () => done++)
          // Lost under the (empty) work, or released by a statement that nobody knows the answer to: said, not hidden.
          await settlesWithin(20_000, 'the call', call).catch((error: unknown) => {
            if (!(error instanceof NamedLockLostError)) throw error
          })
        }
      } finally {
        isOver = true
        await killing
      }
      expect(done).to.be.greaterThan(60)
      for (let i = 0; i < 120; i += 30) expect(await locks.isLocked(`busy ${i}`)).to.equal(false)
    })
  })
})
