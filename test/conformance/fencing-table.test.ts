import { expect } from 'chai'
import { NamedLockConfigurationError, NamedLockLostError } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

describe('fencing tokens from a table', () => {
  forEachDialect((ctx) => {
    const fencing = { table: 'tokens' }

    it('rise from holder to holder, for every kind of holder', async () => {
      const services = await Promise.all([ctx.service({ fencing }), ctx.service({ fencing })])
      let last = 0n
      for (let i = 0; i < 6; i++) {
        const lock = await services[i % 2]!.acquire('a', i % 3 ? {} : { session: 'dedicated' })
        const token = await lock.fencingToken()
        expect(token > last, `${token} after ${last}`).to.equal(true)
        last = token
        await lock.release()
      }
      expect(last).to.equal(6n)
      const rows = await ctx.outsider.query(`SELECT lock_key, token FROM ${ctx.database}.tokens`)
      expect(rows.map((row) => [row.lock_key, Number(row.token)])).to.deep.equal([[ctx.keyOf('a'), 6]])
    })

    it('rise for each of several names', async () => {
      const locks = await ctx.service({ fencing })
      const token = (names: string | string[]) => locks.withLock(names, (lock) => lock.fencingToken())
      for (let i = 0; i < 5; i++) await token('r')
      const several = await token(['p', 'q', 'r'])
      // The order of the keys determines the increment.
      if (ctx.isPostgres) expect(several > 5n).to.equal(true)
      else expect(several).to.equal(6n)
      for (const name of ['p', 'q', 'r']) expect(await token(name), name).to.equal(several + 1n)
      const again = await token(['r', 'p'])
      expect(again > 7n).to.equal(true)
    })

    it('are not issued twice when the transaction is rolled back', async () => {
      const locks = await ctx.service({ fencing })
      const tokens: bigint[] = []
      for (let i = 0; i < 3; i++) {
        const work = locks.transaction('rolled back', async (_manager, lock) => {
          tokens.push(await lock.fencingToken())
          throw new Error('no')
        })
        await rejection(work)
      }
      expect(tokens).to.deep.equal([1n, 2n, 3n])
    })

    it('support names of every kind, and a table of another database', async () => {
      ctx.notOnPostgres('exact names are numbers')
      const locks = await ctx.service({ fencing: { table: `${ctx.otherDatabase}.fencing_tokens` } })
      for (const [name, exactName] of [
        ['Ärger', false],
        ['Ärger', true],
        ['x'.repeat(60), true],
        ['A b', true],
      ] as const) {
        for (const expected of [1n, 2n]) {
          const token = await locks.withLock(name, { exactName }, (lock) => lock.fencingToken())
          expect(token, `${name} ${exactName}`).to.equal(expected)
        }
      }
    })

    it('are refused once the lock is lost', async () => {
      const locks = await ctx.service({ fencing })
      const lock = await locks.acquire('lost', { session: 'dedicated' })
      expect(await lock.fencingToken()).to.equal(1n)
      await lock.manager.query('SELECT RELEASE_ALL_LOCKS()')
      await rejection(lock.fencingToken(), NamedLockLostError)
      await lock.release()
      await rejection(lock.fencingToken(), NamedLockLostError)
    })

    it('delay no other caller while their row is locked', async () => {
      const locks = await ctx.service({ fencing, timeout: '2s' })
      await locks.withLock('row', (lock) => lock.fencingToken())
      await ctx.outsider.query('START TRANSACTION')
      await ctx.outsider.query(`SELECT * FROM ${ctx.database}.tokens FOR UPDATE`)
      const lock = await locks.acquire('row')
      const token = lock.fencingToken()
      for (let i = 0; i < 20; i++)
        await settlesWithin(
          1_000,
          'others',
          locks.withLock(`other ${i}`, () => i),
        )
      await ctx.outsider.query('ROLLBACK')
      expect(await token).to.equal(2n)
      await lock.release()
    })

    it('need a table that exists or can be created', async () => {
      const user = `${ctx.database}_reader`
      if (ctx.isPostgres) {
        await ctx.createUser(user, 'secret')
        await ctx.outsider.query(`GRANT USAGE ON SCHEMA ${ctx.database} TO ${user}`)
        const rights = `GRANT SELECT, INSERT, UPDATE ON TABLES TO ${user}`
        await ctx.outsider.query(`ALTER DEFAULT PRIVILEGES IN SCHEMA ${ctx.database} ${rights}`)
      } else {
        await ctx.outsider.query(`CREATE USER '${user}'@'%' IDENTIFIED BY 'secret'`)
        await ctx.outsider.query(`GRANT SELECT, INSERT, UPDATE ON ${ctx.database}.* TO '${user}'@'%'`)
      }
      const dataSource = await ctx.dataSource({ username: user, password: 'secret' })
      const locks = await ctx.service({ fencing: { table: 'not_there' } }, dataSource)
      await locks.withLock('a', async (lock) => {
        const error = await rejection(lock.fencingToken(), NamedLockConfigurationError)
        expect(error.message).to.match(/not_there.*CREATE TABLE IF NOT EXISTS [`"]not_there[`"] \(lock_key/)
        expect(error.cause).to.be.instanceOf(Error)
        await ctx.outsider.query(`USE ${ctx.database}`)
        await ctx.outsider.query(/CREATE TABLE.*;/.exec(error.message)?.[0] ?? '')
        expect(await lock.fencingToken()).to.equal(1n)
      })
      if (ctx.isPostgres) await ctx.outsider.query(`DROP OWNED BY ${user}`) // its privileges
      await until('the user to be gone', () => ctx.dropUser(user).then(() => true))
    })
  })
})
