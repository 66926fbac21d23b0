import { expect } from 'chai'
import { NamedLockLostError, NamedLockTimeoutError, type NamedLockService } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

/** Functions of an application that are named like the server's, and lie. `counted` tells whether one of them was called. */
const LIES = [
  'CREATE SEQUENCE SCHEMA.counted',
  ...[
    ['pg_try_advisory_lock(bigint)', 'boolean', 'true'],
    ['pg_try_advisory_lock(int, int)', 'boolean', 'true'],
    ['pg_try_advisory_lock_shared(bigint)', 'boolean', 'true'],
    ['pg_advisory_lock(bigint)', 'boolean', 'true'],
    ['pg_advisory_unlock(bigint)', 'boolean', 'true'],
    ['pg_advisory_unlock(int, int)', 'boolean', 'true'],
    ['pg_try_advisory_xact_lock(bigint)', 'boolean', 'true'],
    ['pg_advisory_xact_lock(bigint)', 'boolean', 'true'],
    ['pg_backend_pid()', 'int', '1'],
    ['current_database()', 'name', "'liar'::name"],
    ['current_setting(text)', 'text', "'0'"],
    ['current_setting(text, boolean)', 'text', "'0'"],
    ['set_config(text, text, boolean)', 'text', "''"],
    ['pg_is_in_recovery()', 'boolean', 'true'],
    ['pg_cancel_backend(int)', 'boolean', 'true'],
    ['pg_current_xact_id()', 'text', "'1'"],
    ['txid_current()', 'bigint', '1'],
    ['version()', 'text', "'CockroachDB'"],
    ['array_to_string(text[], text)', 'text', "'1'"],
  ].map(
    ([name, type, value]) =>
      `CREATE FUNCTION SCHEMA.${name} RETURNS ${type} LANGUAGE sql AS $$ SELECT pg_catalog.nextval('SCHEMA.counted'); SELECT ${value} $$`,
  ),
  // Names of tables are looked up by the path as well.
  'CREATE TABLE SCHEMA.pg_locks (locktype text, granted boolean, pid int)',
  'CREATE TABLE SCHEMA.pg_settings (name text, setting text, source text)',
  'CREATE TABLE SCHEMA.pg_stat_activity (pid int, state text)',
]

describe('a search_path that has the functions of an application before pg_catalog', () => {
  forEachDialect((ctx) => {
    const user = `${ctx.database}_ordinary`
    const open = async (): Promise<NamedLockService> => {
      const dataSource = await ctx.dataSource({ extra: { options: '-c search_path=lies,pg_catalog' } })
      expect(await dataSource.query('SELECT pg_backend_pid() AS pid'), 'what the application gets').to.deep.equal([
        { pid: 1 },
      ])
      return ctx.service({}, dataSource)
    }

    before('create them', async function () {
      if (!ctx.isPostgres) this.skip()
      await ctx.outsider.query('CREATE SCHEMA lies')
      for (const definition of LIES) await ctx.outsider.query(definition.replaceAll('SCHEMA', 'lies'))
    })

    it('leads to the right locks, with every way to hold and to look', async () => {
      const locks = await open()
      const other = await ctx.service()
      for (let i = 0; i < 20; i++) await locks.withLock('a', () => undefined) // until its statements are prepared
      let last = 0n
      const check = (token: bigint): void => {
        expect(token > last, `${token} after ${last}`).to.equal(true)
        last = token
      }
      const called = await ctx.outsider.value('SELECT last_value FROM lies.counted')
      await locks.withLock(['a', 'b'], async (lock) => {
        expect(await other.tryAcquire('a')).to.equal(null)
        await rejection(other.acquire('b', { timeout: 50 }), NamedLockTimeoutError)
        const holder = await locks.holder('a')
        expect(holder?.connectionId).to.equal(await ctx.outsider.holderOf(ctx.keyOf('a')))
        expect((await locks.list()).map(({ name }) => name)).to.have.members(['a', 'b'])
        expect(await lock.verify()).to.equal(true)
        check(await lock.fencingToken())
      })
      await locks.withLock('a', { mode: 'read' }, async () => expect(await other.tryAcquire('a')).to.equal(null))
      await locks.transaction('a', async (_manager, lock) => {
        expect(await other.tryAcquire('a')).to.equal(null)
        check(await lock.fencingToken())
      })
      await locks.dataSource.transaction(async (manager) => {
        await locks.lockTransaction(manager, 'a')
        expect(await other.tryAcquire('a')).to.equal(null)
      })
      expect(await locks.isLocked('a')).to.equal(false)
      const calls = () => ctx.outsider.value('SELECT last_value FROM lies.counted')
      expect(await calls(), 'calls of the lies').to.equal(called)
      expect(await locks.check()).to.deep.equal([])
      // TypeORM asks for version() when the connections of the probe are opened, beside the pool.
      expect(Number(await calls()) - Number(called), 'calls by check()').to.be.at.most(1)
    })

    it('lets callers wait, and tells them of a loss', async () => {
      const locks = await open()
      const other = await ctx.service()
      for (const [mine, theirs] of [
        [locks, other],
        [other, locks],
      ] as const) {
        const held = await theirs.acquire('a')
        const waiting = [mine.withLock('a', () => 1), mine.transaction('a', () => 2)]
        await until('them to wait', async () => (await ctx.outsider.userLocksOf(ctx.database)).length > 1)
        await held.release()
        expect(await settlesWithin(5_000, 'both', Promise.all(waiting))).to.deep.equal([1, 2])
      }
      const running = locks.withLock('a', async (lock) => {
        await ctx.outsider.kill((await ctx.outsider.holderOf(ctx.keyOf('a')))!)
        await until('the loss to be known', () => lock.signal.aborted)
      })
      await rejection(running, NamedLockLostError)
      expect(await locks.withLock('a', () => 'again')).to.equal('again')
    })

    it('is no matter to a role without the rights of a superuser, and neither are fencing tokens', async () => {
      await ctx.createUser(user, 'ordinary')
      try {
        await ctx.outsider.query(`GRANT USAGE ON SCHEMA lies TO ${user}`)
        await ctx.outsider.query(`GRANT USAGE ON SEQUENCE lies.counted TO ${user}`) // TypeORM itself calls version()
        for (const extra of [{}, { options: '-c search_path=lies,pg_catalog' }]) {
          const dataSource = await ctx.dataSource({ username: user, password: 'ordinary', extra })
          const locks = await ctx.service({}, dataSource)
          const tokens = [
            await locks.withLock('a', (lock) => lock.fencingToken()),
            await locks.withLock('a', { session: 'dedicated' }, (lock) => lock.fencingToken()),
            await locks.transaction('a', (_manager, lock) => lock.fencingToken()),
            await locks.withLock('a', (lock) => lock.fencingToken()),
          ]
          for (let i = 1; i < tokens.length; i++) expect(tokens[i]! > tokens[i - 1]!, tokens.join(', ')).to.equal(true)
          expect((await locks.check()).map(({ code }) => code)).to.deep.equal(['MISSING_GRANT_KILL'])
          await locks.close()
          await dataSource.destroy()
        }
      } finally {
        await ctx.outsider.query(`DROP OWNED BY ${user}`)
        await ctx.dropUser(user)
      }
    })
  })
})
