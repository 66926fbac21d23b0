import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import { NamedLockError, type NamedLockService } from '../../src/index.js'
import { forEachOwnServer, type Conformance } from '../support/conformance.js'
import type { DataSource } from '../support/typeorms.js'
import { settlesWithin } from '../support/until.js'

/*
 * Whatever is wrong with the database: a call of the service rejects with an error of the library, and the driver's own is its
 * cause. Only what the application's work throws, and an abort reason, comes through as it is.
 */

const nothing = () => undefined

const calls: Record<string, (locks: NamedLockService) => Promise<unknown>> = {
  isLocked: (locks) => locks.isLocked('a'),
  holder: (locks) => locks.holder('a'),
  list: (locks) => locks.list(),
  check: (locks) => locks.check(),
  acquire: (locks) => locks.acquire('a', { timeout: 300 }).then((lock) => lock.release()),
  'a dedicated acquire': (locks) =>
    locks.acquire('b', { timeout: 300, session: 'dedicated' }).then((lock) => lock.release()),
  tryAcquire: (locks) => locks.tryAcquire('c').then((lock) => lock?.release()),
  withLock: (locks) => locks.withLock('d', { timeout: 300 }, nothing),
  tryWithLock: (locks) => locks.tryWithLock(['e', 'f'], nothing),
  transaction: (locks) => locks.transaction('g', { timeout: 300 }, nothing),
  fencingToken: (locks) => locks.withLock('h', { timeout: 300 }, (lock) => lock.fencingToken()),
}

describe('what is wrong with the database', function () {
  this.timeout(180_000)

  forEachOwnServer(
    (ctx) => {
      const user = 'nl_weak'
      let dataSource: DataSource
      let locks: NamedLockService

      beforeEach(async () => {
        await ctx.createUser(user, 'weak')
        if (!ctx.isPostgres) await ctx.outsider.query(`GRANT SELECT ON performance_schema.* TO '${user}'@'%'`)
        dataSource = await ctx.dataSource({ username: user, password: 'weak' })
        locks = await ctx.service({ timeout: 500 }, dataSource)
        await locks.withLock('known', nothing)
      })
      afterEach(async () => {
        if (ctx.isPostgres) await ctx.outsider.query(`DROP OWNED BY ${user}`)
        await ctx.dropUser(user)
      })

      /** Each call fails with an error of the library that has the driver's, or succeeds, where that may be. */
      async function expectOwnErrors(mayPass: readonly string[] = []): Promise<void> {
        for (const [call, start] of Object.entries(calls)) {
          const error = await settlesWithin(
            15_000,
            call,
            start(locks).then(
              () => undefined,
              (reason: unknown) => reason,
            ),
          )
          if (error === undefined) expect(mayPass, `${call} passed`).to.include(call)
          else expectOwn(call, error)
        }
      }

      const faults: [string, mysql: string, postgres: string][] = [
        [
          'a password that has expired',
          `ALTER USER '${user}'@'%' PASSWORD EXPIRE`,
          `ALTER ROLE ${user} PASSWORD 'other' VALID UNTIL '2001-01-01'`,
        ],
        ['an account that is locked', `ALTER USER '${user}'@'%' ACCOUNT LOCK`, `ALTER ROLE ${user} NOLOGIN`],
        ['an account that is gone', `RENAME USER '${user}'@'%' TO gone@'%'`, `ALTER ROLE ${user} RENAME TO gone`],
      ]
      for (const [what, mysql, postgres] of faults) {
        it(`is the cause of an error of the library: ${what}, in new connections`, async () => {
          if (what.startsWith('a password')) ctx.notOnPostgres('the servers of the tests trust all addresses there')
          await ctx.outsider.query(ctx.sql(mysql, postgres))
          await killAll(ctx, user)
          await expectOwnErrors()
          if (what.endsWith('gone'))
            await ctx.outsider.query(
              ctx.sql(`RENAME USER gone@'%' TO '${user}'@'%'`, `ALTER ROLE gone RENAME TO ${user}`),
            )
        })

        it(`is the cause of an error of the library: ${what}, while connections are open`, async () => {
          await ctx.outsider.query(ctx.sql(mysql, postgres))
          await expectOwnErrors(Object.keys(calls))
          if (what.endsWith('gone'))
            await ctx.outsider.query(
              ctx.sql(`RENAME USER gone@'%' TO '${user}'@'%'`, `ALTER ROLE gone RENAME TO ${user}`),
            )
        })
      }

      it('is the cause of an error of the library: rights that were taken away', async () => {
        if (ctx.isPostgres) {
          await ctx.outsider.query('REVOKE SELECT ON pg_locks FROM PUBLIC')
          await ctx.outsider.query('REVOKE SELECT ON pg_stat_activity FROM PUBLIC')
          await ctx.outsider.query('REVOKE EXECUTE ON FUNCTION pg_try_advisory_lock(bigint) FROM PUBLIC')
          await ctx.outsider.query('REVOKE EXECUTE ON FUNCTION pg_advisory_lock(bigint) FROM PUBLIC')
        } else {
          await ctx.outsider.query(`REVOKE SELECT ON performance_schema.* FROM '${user}'@'%'`)
        }
        try {
          await expectOwnErrors(Object.keys(calls))
          if (!ctx.isPostgres) {
            await ctx.outsider.query(`REVOKE ALL ON ${ctx.database}.* FROM '${user}'@'%'`)
            await killAll(ctx, user)
            await expectOwnErrors()
          }
        } finally {
          if (ctx.isPostgres) {
            await ctx.outsider.query('GRANT SELECT ON pg_locks, pg_stat_activity TO PUBLIC')
            await ctx.outsider.query(
              'GRANT EXECUTE ON FUNCTION pg_try_advisory_lock(bigint), pg_advisory_lock(bigint) TO PUBLIC',
            )
          }
        }
      })

      it('is the cause of an error of the library: connections that are killed during the calls', async () => {
        let isOver = false
        let kills = 0
        const killing = (async () => {
          while (!isOver) kills += await killAll(ctx, user, 50)
        })()
        const failed = new Set<string>()
        const end = performance.now() + 4_000
        while (performance.now() < end) {
          await Promise.all(
            Object.entries(calls).map(([call, start]) =>
              start(locks).catch((error: unknown) => {
                failed.add(call)
                expectOwn(call, error)
              }),
            ),
          )
        }
        isOver = true
        await killing
        expect(kills).to.be.greaterThan(0)
        expect(failed.has('list') || failed.has('check'), [...failed].join()).to.equal(true)
      })

      it('is not what lockTransaction passes on either', async () => {
        const lock = (manager: EntityManager) =>
          locks.lockTransaction(manager, 'i', { timeout: 300 }).catch((error: unknown) => {
            expectOwn('lockTransaction', error)
            throw error
          })
        const failed = await dataSource
          .transaction(async (manager) => {
            await killAll(ctx, user)
            await lock(manager)
          })
          .then(
            () => false,
            () => true,
          )
        expect(failed).to.equal(true)
      })

      it('is the cause of an error of the library: a server that has stopped', async () => {
        await ctx.server.kill()
        await expectOwnErrors()
        await ctx.server.restart()
        await ctx.reconnectOutsider()
      })
    },
    // Otherwise MySQL refuses the login after the password has expired: with it, the login succeeds and every statement fails.
    (kind) => (kind === 'mysql' ? ['--disconnect-on-expired-password=OFF'] : []),
  )
})

function expectOwn(call: string, error: unknown): void {
  const text = `${call}: ${error instanceof Error ? error.stack : String(error)}`
  expect(error, text).to.be.instanceOf(NamedLockError)
  const { code, cause, message } = error as NamedLockError
  if (code === 'DATABASE') {
    expect(cause, text).to.be.instanceOf(Error)
    expect(message, text).to.match(/\S.*\S/)
  } else expect(code, text).to.be.oneOf(['TIMEOUT', 'LOST'])
}

/**
 * Ends all connections of a user; resolves to how many there were.
 *
 * @param least Only those that are that many milliseconds old: one that ends while pg opens it is another test's matter.
 */
async function killAll(ctx: Conformance, user: string, least = 0): Promise<number> {
  if (ctx.isPostgres) {
    const sql = `SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity WHERE usename IN ('${user}','gone') AND backend_start <= now() - interval '${least} ms'`
    return Number(await ctx.outsider.value(sql))
  }
  const rows = await ctx.outsider.query<{ id: string }>(
    `SELECT CAST(ID AS CHAR) AS id FROM information_schema.PROCESSLIST WHERE USER = '${user}'`,
  )
  for (const { id } of rows) await ctx.outsider.kill(id).catch(() => undefined)
  return rows.length
}
