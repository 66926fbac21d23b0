import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MigrationInterface, QueryRunner } from 'typeorm'
import {
  NamedLockConfigurationError,
  NamedLockLostError,
  NamedLockTimeoutError,
  type NamedLockService,
  type NamedLockServiceOptions,
} from '../../src/index.js'
import { cli } from '../support/cli.js'
import { rejection } from '../support/rejection.js'
import { typeorms, type DataSource } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'

type Up = (runner: QueryRunner) => Promise<unknown>

/** Migrations with these bodies, in their order. */
function migrations(...bodies: Up[]): (new () => MigrationInterface)[] {
  return bodies.map((up, i) => {
    const name = `Step170000000000${i + 1}`
    const Migration = class implements MigrationInterface {
      readonly name = name
      async up(runner: QueryRunner): Promise<void> {
        await up(runner)
      }
      async down(): Promise<void> {}
    }
    Object.defineProperty(Migration, 'name', { value: name })
    return Migration
  })
}

const creates =
  (table: string): Up =>
  (runner) =>
    runner.query(`CREATE TABLE ${table} (id INT)`)

/** For an account of the database that may have one connection: the server itself refuses any other. */
describe('runMigrations with one connection', () => {
  forEachDatabase((ctx) => {
    const key = () => ctx.keyOf('migrations:migrations')
    let account: { username: string; password: string }

    beforeEach(async () => {
      const tables = ctx.sql('DATABASE', 'SCHEMA')
      await ctx.outsider.query(`DROP ${tables} ${ctx.database}${ctx.sql('', ' CASCADE')}`)
      await ctx.outsider.query(`CREATE ${tables} ${ctx.database}`)
      account = { username: `one_${ctx.database}`.slice(0, 32), password: 'one' }
      const { username } = account
      await ctx.createUser(username, account.password)
      const limit = ctx.sql(`USER '${username}'@'%' WITH MAX_USER_CONNECTIONS 1`, `ROLE ${username} CONNECTION LIMIT 1`)
      await ctx.outsider.query(`ALTER ${limit}`)
      if (ctx.isPostgres) await ctx.outsider.query(`GRANT ALL ON SCHEMA ${ctx.database} TO ${username}`)
    })

    afterEach(async () => {
      if (ctx.isPostgres) await ctx.outsider.query(`DROP OWNED BY ${account.username}`)
      await ctx.dropUser(account.username)
    })

    interface Setup {
      readonly steps: Up[]
      readonly poolSize?: number
      readonly service?: NamedLockServiceOptions
      /** Another account, without a limit. */
      readonly isUnlimited?: boolean
    }

    /** As an instance of the application does it: connects, and runs the migrations. The account's connection is free again after it. */
    async function instance<T>(
      { steps, poolSize, service, isUnlimited }: Setup,
      work: (locks: NamedLockService, dataSource: DataSource) => Promise<T>,
    ): Promise<T> {
      const dataSource = await ctx.dataSource({
        ...(!isUnlimited && account),
        poolSize,
        more: { migrations: migrations(...steps), logger: 'debug' },
      })
      const locks = await ctx.service(service, dataSource)
      try {
        return await work(locks, dataSource)
      } finally {
        await locks.close()
        await dataSource.destroy()
        if (!isUnlimited) {
          await until('the connection to end', async () => {
            const open = await ctx.outsider.connectionsOf(ctx.database)
            return open.length === 0
          })
        }
      }
    }

    const ownId = (runner: QueryRunner): Promise<unknown> =>
      runner
        .query(`SELECT ${ctx.sql('CONNECTION_ID()', 'pg_backend_pid()')} AS id`)
        .then(([row]: { id: unknown }[]) => row?.id)

    for (const transaction of ['all', 'each', 'none'] as const) {
      for (const poolSize of transaction === 'each' ? [1, undefined] : [1]) {
        it(`has lock and migrations on it: transaction '${transaction}', poolSize ${poolSize ?? 'by default'}`, async () => {
          const seen: unknown[] = []
          const looks: Up = async (runner) => {
            seen.push(String(await ownId(runner)), await ctx.outsider.holderOf(key()))
            expect(runner.isTransactionActive).to.equal(transaction !== 'none')
            await creates('second')(runner)
          }
          await instance({ steps: [creates('first'), looks], ...(poolSize && { poolSize }) }, async (locks, source) => {
            const applied = await settlesWithin(5_000, 'the migrations', locks.runMigrations({ transaction }))
            expect(applied.map(({ name }) => name)).to.deep.equal(['Step1700000000001', 'Step1700000000002'])
            expect(seen[0]).to.equal(seen[1])
            expect(await ctx.outsider.holderOf(key())).to.equal(null)
            // The connection is the application's again, with its settings.
            expect(await source.query('SELECT * FROM second')).to.deep.equal([])
            expect(await locks.runMigrations({ transaction })).to.deep.equal([])
          })
        })
      }
    }

    if (ctx.typeorm !== typeorms[0]) return // the rest is the library's own

    it('runs two calls of one process one after the other', async () => {
      await instance({ steps: [creates('first')], poolSize: 1 }, async (locks) => {
        const both = Promise.all([locks.runMigrations(), locks.runMigrations()])
        const applied = await settlesWithin(5_000, 'both', both)
        expect(applied.map(({ length }) => length).sort()).to.deep.equal([0, 1])
      })
    })

    it('names the holder that it has waited for, and leaves the connection to the application', async () => {
      await ctx.outsider.getLock(key())
      await instance({ steps: [creates('first')] }, async (locks, source) => {
        const error = await rejection(locks.runMigrations({ timeout: 300 }), NamedLockTimeoutError)
        expect(error.holder?.connectionId).to.equal(ctx.outsider.id)
        await source.query('SELECT 1')
        const controller = ctx.abortController()
        const aborted = rejection(locks.runMigrations({ signal: controller.signal }))
        await sleep(200)
        controller.abort(new Error('enough'))
        expect((await settlesWithin(3_000, 'the aborted one', aborted)).message).to.equal('enough')
        await source.query('SELECT 1')
        const waiting = locks.runMigrations()
        await sleep(200)
        await ctx.outsider.releaseLock(key())
        expect(await settlesWithin(3_000, 'the one that waits', waiting)).to.have.length(1)
      })
    })

    it('keeps the lock in statements and pauses that are longer than the lease', async function () {
      this.timeout(30_000)
      const holders = new Set<string | null>()
      const long: Up = async (runner) => {
        holders.add(String(await ownId(runner)))
        const looking = setInterval(() => void ctx.outsider.holderOf(key()).then((id) => holders.add(id)), 250)
        try {
          await runner.query(`SELECT ${ctx.sql('SLEEP(2.5)', 'pg_sleep(2.5)')}`)
          await sleep(2_500)
          await runner.query('SELECT 1')
        } finally {
          clearInterval(looking)
        }
      }
      await instance({ steps: [long], service: { lease: '1s' } }, async (locks) => {
        expect(await locks.runMigrations()).to.have.length(1)
        expect(holders.size).to.equal(1)
      })
    })

    it('rejects with NamedLockLostError when its connection dies, and continues after what is complete', async () => {
      let isFirst = true
      const dies: Up = async (runner) => {
        if (!isFirst) return
        isFirst = false
        await ctx.outsider.kill(String(await ownId(runner)))
        await runner.query('SELECT 1')
      }
      await instance({ steps: [creates('first'), dies, creates('third')] }, async (locks) => {
        const error = await rejection(locks.runMigrations({ transaction: 'each' }), NamedLockLostError)
        expect(error.message).to.match(/migrations:migrations.*lost while the migrations ran.*'migrations' says which/)
        const after = await until('the account to have its connection again', () =>
          locks.runMigrations({ transaction: 'each' }).catch(() => undefined),
        )
        expect(after.map(({ name }) => name)).to.deep.equal(['Step1700000000002', 'Step1700000000003'])
      })
    })

    it('lets `named-lock migrate` of the same account wait for it', async () => {
      const folder = await mkdtemp(path.join(__dirname, 'tmp-'))
      try {
        const { kind: type, ...address } = ctx.address
        const options = JSON.stringify({ type, ...address, ...account })
        const up = `await runner.query('CREATE TABLE once (id int)'); await runner.query('SELECT ${ctx.sql('SLEEP(0.5)', 'pg_sleep(0.5)')}')`
        const migration = `class Once1700000000000 { async up(runner) { ${up} } async down() {} }`
        const file = path.join(folder, 'data-source.cjs')
        const text = `const { DataSource } = require('typeorm'); ${migration}; module.exports = new DataSource({ ...${options}, migrations: [Once1700000000000] })`
        await writeFile(file, text)
        const ends = await Promise.all([1, 2].map(() => cli('migrate', '-d', file)))
        expect(ends.map(({ code, stderr }) => [code, stderr])).to.deep.equal([
          [0, ''],
          [0, ''],
        ])
        const texts = ends.map(({ stdout }) => stdout).sort()
        expect(texts).to.deep.equal(['1 migration applied: Once1700000000000.\n', 'No migrations are pending.\n'])
      } finally {
        await rm(folder, { recursive: true })
      }
    }).timeout(60_000)

    it('builds an index while other instances wait, without a deadlock that the server would see', async function () {
      if (!ctx.isPostgres) return this.skip() // only there a build waits for statements that wait for a lock
      const builds: Up = async (runner) => {
        await creates('built')(runner)
        await until('the other one to wait', async () => {
          return (await ctx.outsider.userLocksOf(ctx.database)).some(({ status }) => status === 'PENDING')
        })
        for (let i = 0; i < 4; i++) {
          await sleep(100)
          await runner.query(`CREATE INDEX CONCURRENTLY built_${i} ON built (id)`)
        }
      }
      const one = { steps: [builds], isUnlimited: true }
      const applied = await Promise.all(
        [one, one].map((each) => instance(each, (locks) => locks.runMigrations({ transaction: 'none' }))),
      )
      expect(applied.map(({ length }) => length).sort()).to.deep.equal([0, 1])
    })

    it('is refused for all other calls on a pool of one, and check() reports it', async () => {
      const other = await ctx.dataSource({ poolSize: 1 })
      const locks = await ctx.service({}, other)
      for (const call of [
        () => locks.acquire('a'),
        () => locks.tryAcquire('a'),
        () => locks.withLock('a', { session: 'dedicated' }, () => undefined),
        () => locks.transaction('a', () => Promise.resolve()),
        () => other.transaction((manager) => locks.lockTransaction(manager, 'a')),
      ]) {
        const error = await settlesWithin(2_000, 'the refusal', rejection(call(), NamedLockConfigurationError))
        expect(error.message).to.match(/pool has 1 connection.*poolSize.*runMigrations/)
      }
      expect((await locks.check())[0]).to.include({ code: 'POOL_TOO_SMALL', severity: 'error' })
      await other.query('SELECT 1')
    })
  })
})
