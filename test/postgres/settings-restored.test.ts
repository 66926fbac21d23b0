import { expect } from 'chai'
import { describe } from 'mocha'
import type { NamedLockService } from '../../src/index.js'
import { forEachOwnServer, type Conformance } from '../support/conformance.js'
import type { DataSource } from '../support/typeorms.js'
import { until } from '../support/until.js'

const POOL = 4

/** All of a connection that outlives a statement. */
const STATE = `SELECT (SELECT json_agg(json_build_object('name',name,'setting',setting,'source',source,'reset',reset_val) ORDER BY name)
  FROM pg_settings) AS settings,
  (SELECT count(*)::int FROM pg_prepared_statements) AS prepared,
  (SELECT count(*)::int FROM pg_cursors) AS cursors,
  (SELECT count(*)::int FROM pg_listening_channels()) AS channels,
  (SELECT count(*)::int FROM pg_locks WHERE pid=pg_backend_pid() AND locktype='advisory') AS locks,
  pg_my_temp_schema()::int AS temporary`

/** The same question to every connection of the pool. */
async function eachConnection(dataSource: DataSource, sql: string): Promise<Record<string, any>[]> {
  const runners = Array.from({ length: POOL }, () => dataSource.createQueryRunner())
  for (const runner of runners) await runner.connect()
  const answers: Record<string, any>[] = []
  for (const runner of runners) answers.push(((await runner.query(sql)) as Record<string, any>[])[0]!)
  for (const runner of runners) await runner.release()
  return answers
}

/** Every kind of session, with what it prepares. */
async function useAll(locks: NamedLockService, dataSource: DataSource): Promise<void> {
  for (let i = 0; i < 20; i++) await locks.withLock('lone', () => {})
  await Promise.all(Array.from({ length: 20 }, (_, i) => locks.withLock(`many ${i % 5}`, () => {})))
  await locks.withLock('a', { session: 'dedicated' }, (lock) => lock.fencingToken())
  await locks.withLock('a', { mode: 'read' }, (lock) => lock.fencingToken())
  await locks.transaction('a', (_manager, lock) => lock.fencingToken())
  await dataSource.transaction((manager) => locks.lockTransaction(manager, ['a', 'b']))
  await dataSource
    .transaction(async (manager) => {
      await locks.lockTransaction(manager, 'a')
      throw new Error('rolled back')
    })
    .catch(() => undefined)
  await locks.list({ waiting: true })
  await locks.check()
}

async function setUp(ctx: Conformance, extra = {}): Promise<{ dataSource: DataSource; locks: NamedLockService }> {
  const dataSource = await ctx.dataSource({ poolSize: POOL, extra: { idleTimeoutMillis: 0, ...extra } })
  return { dataSource, locks: await ctx.service({}, dataSource) }
}

describe('what a PostgreSQL connection is like after the service has used it', () => {
  forEachOwnServer(
    (ctx) => {
      const server = async (setting: string): Promise<void> => {
        await ctx.outsider.query(`ALTER SYSTEM SET ${setting}`)
        await ctx.outsider.query('SELECT pg_reload_conf()')
      }

      it('is the same as before, row by row of pg_settings', async () => {
        const { dataSource, locks } = await setUp(ctx)
        const before = await eachConnection(dataSource, STATE)
        await useAll(locks, dataSource)
        await locks.close()
        expect(await eachConnection(dataSource, STATE)).to.deep.equal(before)
      })

      it('follows a change of the configuration', async () => {
        const { dataSource, locks } = await setUp(ctx)
        await useAll(locks, dataSource)
        await locks.close()
        const read =
          "SELECT current_setting('lock_timeout') AS l, current_setting('statement_timeout') AS s, " +
          "current_setting('idle_session_timeout') AS i, current_setting('idle_in_transaction_session_timeout') AS t"
        const wanted = { l: '71s', s: '72s', i: '73min', t: '74min' }
        try {
          await server("lock_timeout='71s'")
          await server("statement_timeout='72s'")
          await server("idle_session_timeout='73min'")
          await server("idle_in_transaction_session_timeout='74min'")
          await until('the pool follows', async () => {
            expect(await eachConnection(dataSource, read)).to.deep.equal(Array(POOL).fill(wanted))
            return true
          })
        } finally {
          await ctx.outsider.query('ALTER SYSTEM RESET ALL')
          await ctx.outsider.query('SELECT pg_reload_conf()')
        }
      })

      it('keeps what the role, the client and the application itself have set', async () => {
        const role = `${ctx.database}_role`
        await ctx.createUser(role, 'secret')
        await ctx.outsider.query(`ALTER ROLE ${role} SET lock_timeout='81s'`)
        const dataSource = await ctx.dataSource({
          ...{ poolSize: POOL, username: role, password: 'secret' },
          extra: { idleTimeoutMillis: 0, options: '-c statement_timeout=82s' },
        })
        const locks = await ctx.service({}, dataSource)
        await eachConnection(dataSource, "SELECT set_config('idle_session_timeout','83min',false)")
        const before = await eachConnection(dataSource, STATE)
        const sources = new Map(
          (before[0]!.settings as { name: string; source: string }[]).map(({ name, source }) => [name, source]),
        )
        expect(sources.get('lock_timeout')).to.equal('user')
        expect(sources.get('statement_timeout')).to.equal('client')
        expect(sources.get('idle_session_timeout')).to.equal('session')
        await useAll(locks, dataSource)
        await locks.close()
        expect(await eachConnection(dataSource, STATE)).to.deep.equal(before)
        await dataSource.destroy()
        await ctx.dropUser(role)
      })
    },
    (kind) => (kind === 'postgres' ? [] : undefined),
  )
})
