import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  NamedLockConfigurationError,
  NamedLockError,
  NamedLockInsideTransactionError,
  NamedLockLostError,
  NamedLockReentrancyError,
  NamedLockTimeoutError,
  type NamedLockService,
} from '../../src/index.js'
import { hookStatements } from '../engine/statement-hook.js'
import { forEachDialect, forEachDialectAndTypeorm } from '../support/conformance.js'
import { failStatements } from '../support/failing-statements.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { connectionsIn, onNewConnection, type RawConnection } from '../support/typeorms.js'
import { settlesWithin } from '../support/until.js'

const ISOLATIONS = ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const

describe('runOnce', () => {
  forEachDialectAndTypeorm((ctx) => {
    const effects = async (name: string): Promise<number> => {
      const rows = await ctx.outsider.query(`SELECT name FROM ${ctx.database}.effects WHERE name = ?`, [name])
      return rows.length
    }
    const rows = (): Promise<any[]> => ctx.outsider.query(`SELECT lock_key, name FROM ${ctx.database}.named_lock_done`)
    const effect = (name: string) => (manager: { query(sql: string): Promise<unknown> }) =>
      manager.query(`INSERT INTO effects (name) VALUES ('${name}')`)

    beforeEach(async () => {
      await ctx.outsider.query(`DROP TABLE IF EXISTS ${ctx.database}.effects`)
      await ctx.outsider.query(`CREATE TABLE ${ctx.database}.effects (name VARCHAR(100))`)
      await ctx.outsider.query(`DROP TABLE IF EXISTS ${ctx.database}.named_lock_done`)
    })

    it('runs the work once, and says when it was done', async () => {
      const locks = await ctx.service()
      const first = await locks.runOnce('stripe:1', async (manager) => {
        await effect('a')(manager)
        return 42
      })
      expect(first).to.deep.equal({ ran: true, value: 42 })
      const second = await locks.runOnce('stripe:1', effect('a'))
      expect(second.ran).to.equal(false)
      expect(second.value).to.equal(undefined)
      if (second.ran) throw new Error('it ran')
      expect(second.doneAt).to.be.instanceOf(Date)
      expect(Math.abs(Date.now() - second.doneAt.getTime())).to.be.lessThan(60_000)
      expect(await effects('a')).to.equal(1)
      expect((await locks.runOnce('stripe:2', effect('b'))).ran).to.equal(true)
      const others = await Promise.all([ctx.service(), ctx.service({ namespace: 'elsewhere' })])
      expect((await others[0].runOnce('stripe:1', effect('a'))).ran).to.equal(false)
      expect((await others[1].runOnce('stripe:1', () => 1)).ran).to.equal(true)
    })

    it('runs it once for callers that come together, in each isolation level', async () => {
      const services = await Promise.all([ctx.service(), ctx.service()])
      for (const isolation of ISOLATIONS) {
        const names = Array.from({ length: 5 }, (_, i) => `${isolation} ${i}`)
        const calls = names.flatMap((name) =>
          Array.from({ length: 4 }, (_, i) =>
            services[i % 2]!.runOnce(name, { isolation, timeout: '20s' }, effect(name)),
          ),
        )
        const results = await Promise.all(calls)
        expect(
          results.filter(({ ran }) => ran),
          isolation,
        ).to.have.length(names.length)
        for (const name of names) expect(await effects(name), name).to.equal(1)
      }
    })

    it('leaves no row of work that fails, and runs it again', async () => {
      const locks = await ctx.service()
      const mine = new Error('mine')
      const failing = locks.runOnce('fails', async (manager) => {
        await effect('fails')(manager)
        throw mine
      })
      expect(await reasonOf(failing)).to.equal(mine)
      const lost = locks.runOnce('fails', async (manager, lock) => {
        await effect('fails')(manager)
        await ctx.outsider.kill((await ctx.outsider.holderOf(lock.key))!)
        await effect('fails')(manager)
      })
      expect((await rejection(lost, NamedLockLostError)).outcome).to.equal('rolledBack')
      expect(await rows()).to.deep.equal([])
      expect(await effects('fails')).to.equal(0)
      expect((await locks.runOnce('fails', effect('fails'))).ran).to.equal(true)
      expect(await effects('fails')).to.equal(1)
    })

    it('tells the truth when it is asked again after a COMMIT without an answer', async () => {
      const proxy = await ctx.proxy()
      const locks = await ctx.service({}, await ctx.dataSource({ port: proxy.port }))
      const again = await ctx.service()
      const cuts = ['before', 'sent', 'answered'] as const
      for (const cut of [...cuts, 'sent', 'sent'] as const) {
        await ctx.outsider.query(`DELETE FROM ${ctx.database}.effects`)
        await again.forget(cut)
        proxy.cutCommits(() => cut)
        const error = await rejection(locks.runOnce(cut, effect(cut)), NamedLockLostError)
        expect(error.outcome, cut).to.equal('unknown')
        proxy.heal()
        const { ran } = await again.runOnce(cut, { timeout: '10s' }, effect(cut))
        if (cut !== 'sent') expect(ran, cut).to.equal(cut === 'before')
        expect(await effects(cut), cut).to.equal(1)
      }
    })
  })

  forEachDialect((ctx) => {
    const table = (): string => `${ctx.database}.named_lock_done`
    beforeEach(() => ctx.outsider.query(`DROP TABLE IF EXISTS ${table()}`))

    /** Makes a name's row older, by the server's clock. */
    const age = (name: string, seconds: number) =>
      ctx.outsider.query(
        ctx.sql(
          `UPDATE ${table()} SET done_at = done_at - INTERVAL ${seconds} SECOND WHERE name = ?`,
          `UPDATE ${table()} SET done_at = done_at - INTERVAL '${seconds} seconds' WHERE name = ?`,
        ),
        [name],
      )

    it('costs one read where the name is done', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      await locks.runOnce('report', () => 1)
      await locks.runOnce('report', () => 1)
      await sleep(100) // the connection of the first call is on its way back to the pool
      const hook = hookStatements(dataSource)
      const sent: string[] = []
      hook.afterSend = ({ sql }) => sent.push(sql)
      for (let i = 0; i < 3; i++) expect((await locks.runOnce('report', () => 1)).ran).to.equal(false)
      expect(sent, sent.join('\n')).to.have.length(3)
      for (const sql of sent) expect(sql).to.match(/^SELECT .*named_lock_done/)
      const [read = ''] = sent
      const plan = await ctx.outsider.query(`EXPLAIN ${read.replace(/["`]named_lock_done["`]/, table())}`)
      const text = JSON.stringify(plan)
      if (!ctx.isPostgres) expect(text).to.match(/PRIMARY|Rows fetched before execution/)
    })

    it('runs it again after `every`, by the clock of the server', async () => {
      const locks = await ctx.service()
      const every = { every: '20h' } as const
      expect((await locks.runOnce('nightly', every, () => 1)).ran).to.equal(true)
      expect((await locks.runOnce('nightly', every, () => 1)).ran).to.equal(false)
      await age('nightly', 19 * 3600)
      expect((await locks.runOnce('nightly', every, () => 1)).ran).to.equal(false)
      await age('nightly', 2 * 3600)
      expect((await locks.runOnce('nightly', () => 1)).ran).to.equal(false)
      expect(
        (await rejection(locks.runOnce('nightly', every, () => Promise.reject(new Error('no')))))?.message,
      ).to.equal('no')
      expect((await locks.runOnce('nightly', every, () => 2)).ran).to.equal(true)
      const again = await locks.runOnce('nightly', every, () => 3)
      expect(again.ran).to.equal(false)
      expect(await ctx.outsider.query(`SELECT name FROM ${table()}`)).to.have.length(1)
      // The clock of this process is a day ahead, and a day behind.
      const { now } = Date
      for (const shift of [86_400_000, -86_400_000]) {
        Date.now = () => now() + shift
        try {
          expect((await locks.runOnce('nightly', every, () => 4)).ran).to.equal(false)
        } finally {
          Date.now = now
        }
      }
      expect((await locks.runOnce('short', { every: 100 }, () => 1)).ran).to.equal(true)
      await sleep(150)
      expect((await locks.runOnce('short', { every: 100 }, () => 1)).ran).to.equal(true)
    })

    it('keeps long and odd names apart', async () => {
      const locks = await ctx.service()
      const long = 'x'.repeat(1000)
      const names = [
        `${long}1`,
        `${long}2`,
        'a',
        'A',
        'ä',
        'Ä',
        '😀',
        "it's",
        'back\\slash',
        '"quoted"',
        ' ',
        'a ',
        'a  ',
        'a\0b',
        '~=a',
        '=a',
      ]
      for (const name of names) expect((await locks.runOnce(name, () => 1)).ran, name).to.equal(true)
      for (const name of names) expect((await locks.runOnce(name, () => 1)).ran, name).to.equal(false)
      const kept = await ctx.outsider.query(`SELECT lock_key, name FROM ${table()}`)
      for (const { lock_key: key } of kept) expect(String(key)).to.match(/^[ -~]{1,64}$/)
      const shown = kept.map((row) => String(row.name))
      for (const name of names.filter((one) => !one.includes('\0'))) expect(shown).to.include(name)
      const exact = ctx.isPostgres ? 42n : 'Exact'
      expect((await locks.runOnce(exact, { exactName: true }, () => 1)).ran).to.equal(true)
      expect((await locks.runOnce(exact, { exactName: true }, () => 1)).ran).to.equal(false)
      expect((await locks.runOnce(exact, () => 1)).ran).to.equal(true)
      expect(await locks.forget(exact, { exactName: true })).to.equal(true)
      expect((await locks.runOnce(exact, () => 1)).ran).to.equal(false)
      if (ctx.isPostgres) return // exact names are numbers there
      for (const name of ['s', 's ', 's~']) {
        expect((await locks.runOnce(name, { exactName: true }, () => 1)).ran, `exactly '${name}'`).to.equal(true)
      }
    })

    it('says so where its table accepts no row, instead of asking again and again', async () => {
      if (ctx.kind === 'mariadb') return // INSERT IGNORE has an error there
      const locks = await ctx.service()
      await locks.runOnce('a', () => 1)
      const skips = "BEGIN IF NEW.name = 'odd' THEN RETURN NULL; END IF; RETURN NEW; END"
      const refuse = ctx.isPostgres
        ? [
            `CREATE FUNCTION ${ctx.database}.skip_odd() RETURNS trigger LANGUAGE plpgsql AS $$${skips}$$`,
            `CREATE TRIGGER odd BEFORE INSERT ON ${table()} FOR EACH ROW EXECUTE PROCEDURE ${ctx.database}.skip_odd()`,
          ]
        : [`ALTER TABLE ${table()} ADD CONSTRAINT odd CHECK (name <> 'odd')`]
      for (const sql of refuse) await ctx.outsider.query(sql)
      const work = (): never => expect.fail('the work ran')
      const error = await rejection(locks.runOnce('odd', work), NamedLockConfigurationError)
      expect(error.message).to.match(/named_lock_done' accepted no row for 'odd'/)
    })

    it('refuses itself, and other transactions, around it', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({ outsideTransaction: 'allow' }, dataSource)
      for (const reentrant of [false, true]) {
        const nested = locks.runOnce('a', () => locks.runOnce('a', { reentrant }, () => 1))
        await rejection(nested, NamedLockReentrancyError)
        await rejection(
          locks.withLock('a', () => locks.runOnce('a', { reentrant }, () => 1)),
          NamedLockReentrancyError,
        )
      }
      await rejection(
        locks.transaction('b', () => locks.runOnce('c', () => 1)),
        NamedLockInsideTransactionError,
      )
      await rejection(
        locks.runOnce('b', () => locks.runOnce('c', () => 1)),
        NamedLockInsideTransactionError,
      )
      await rejection(
        dataSource.transaction(() => locks.runOnce('c', () => 1)),
        NamedLockInsideTransactionError,
      )
      expect((await locks.withLock('d', () => locks.runOnce('a', () => 1))).ran).to.equal(true)
    })

    it('waits for a call that runs, and not with timeout 0', async () => {
      const locks = await ctx.service()
      let finish = (): void => {}
      let begin = (): void => {}
      const begun = new Promise<void>((resolve) => (begin = resolve))
      const running = locks.runOnce('busy', () => {
        begin()
        return new Promise<void>((resolve) => (finish = resolve))
      })
      await begun
      await rejection(
        locks.runOnce('busy', { timeout: 0 }, () => 1),
        NamedLockTimeoutError,
      )
      const abort = ctx.abortController()
      const waiting = locks.runOnce('busy', { signal: abort.signal }, () => 1)
      const reason = new Error('enough')
      setTimeout(() => abort.abort(reason), 50)
      expect(await reasonOf(waiting)).to.equal(reason)
      const last = locks.runOnce('busy', () => 1)
      finish()
      expect((await running).ran).to.equal(true)
      expect((await last).ran).to.equal(false)
    })

    it('is forgotten by name, and by age in batches', async () => {
      const locks = await ctx.service()
      expect(await locks.forget('none')).to.equal(false)
      expect(await locks.forgetDone({ olderThan: '30d' })).to.equal(0)
      for (const name of ['old', 'older', 'new']) await locks.runOnce(name, () => 1)
      const other = await ctx.service({ namespace: 'other' })
      await other.runOnce('old', () => 1)
      await age('old', 31 * 86_400)
      await age('older', 60 * 86_400)
      expect(await locks.forgetDone({ olderThan: '30d' })).to.equal(2)
      expect((await other.runOnce('old', () => 1)).ran).to.equal(false)
      expect(await locks.forget('new')).to.equal(true)
      expect(await locks.forget('new')).to.equal(false)
      expect((await locks.runOnce('new', () => 1)).ran).to.equal(true)
      const many = ctx.sql(
        `INSERT INTO ${table()} (lock_key, name, done_at) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT CONCAT(?, a.i, '-', b.i), CONCAT('many', a.i, '-', b.i), '2020-01-01' FROM n a JOIN n b ON b.i <= 3`,
        `INSERT INTO ${table()} (lock_key, name, done_at) SELECT ? || a || '-' || b, 'many' || a || '-' || b, '2020-01-01' FROM generate_series(1, 900) a, generate_series(1, 3) b`,
      )
      await ctx.outsider.query(many, [`${ctx.database}.many`])
      expect(await locks.forgetDone({ olderThan: '30d' })).to.equal(2_700)
    })

    it('is forgotten by age in its own namespace only, though keys of several begin alike', async () => {
      // Those of `false` begin with nothing, and the others with `shop.`.
      const services = await Promise.all(
        ([false, 'shop', 'Shop', 'shop.eu'] as const).map((namespace) => ctx.service({ namespace })),
      )
      for (const name of ['old', 'Öl', 'padded ']) {
        for (const locks of services) await locks.runOnce(name, () => 1)
        await age(name, 31 * 86_400)
      }
      for (const locks of services) expect(await locks.forgetDone({ olderThan: '30d' })).to.equal(3)
    })

    it('is forgotten by age without a wait for a run that renews its row, and without an end to time', async () => {
      const [locks, other] = [await ctx.service(), await ctx.service()]
      for (const name of ['a', 'long', 'z']) {
        await locks.runOnce(name, () => 1)
        await age(name, 31 * 86_400)
      }
      let begin = (): void => {}
      let finish = (): void => {}
      const begun = new Promise<void>((resolve) => (begin = resolve))
      const running = locks.runOnce('long', { every: '20d' }, () => {
        begin()
        return new Promise<void>((resolve) => (finish = resolve))
      })
      await begun
      try {
        const purged = other.forgetDone({ olderThan: '30d' })
        expect(await settlesWithin(5_000, 'forgetDone()', purged)).to.equal(2)
      } finally {
        finish()
      }
      expect((await running).ran).to.equal(true)
      expect((await other.runOnce('long', { every: '20d' }, () => 1)).ran).to.equal(false)
      // Before the oldest time that servers know.
      expect(await other.forgetDone({ olderThan: '10000000d' })).to.equal(0)
    })

    it('does not take a running transaction for done, where connections read what is not committed', async () => {
      ctx.notOnPostgres('READ UNCOMMITTED is READ COMMITTED there')
      const dataSource = await ctx.dataSource()
      const readUncommitted = (connection: RawConnection): void =>
        void connection.query('SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED', () => {})
      for (const connection of connectionsIn(dataSource)) readUncommitted(connection)
      onNewConnection(dataSource, readUncommitted)
      const locks = await ctx.service({}, dataSource)
      await locks.runOnce('first', () => 1)
      let fail = (_error: Error): void => {}
      const begun = new Promise<void>((began) => {
        const work = (): Promise<never> => {
          began()
          return new Promise((_resolve, reject) => (fail = reject))
        }
        void rejection(locks.runOnce('dirty', work)).catch(() => {})
      })
      await begun
      const second = locks.runOnce('dirty', () => 2)
      await sleep(100) // it reads, and waits for the lock
      fail(new Error('no'))
      expect(await second).to.deep.equal({ ran: true, value: 2 })
      expect((await locks.runOnce('dirty', () => 3)).ran).to.equal(false)
    })

    it('creates its table where it is needed, by many processes at once', async () => {
      const services = await Promise.all(Array.from({ length: 6 }, () => ctx.service()))
      const results = await Promise.all(services.map((locks, i) => locks.runOnce(`first ${i}`, () => 1)))
      expect(results.every(({ ran }) => ran)).to.equal(true)
      const own = await ctx.service({ done: { table: `${ctx.otherDatabase}.done_$1` } })
      if (ctx.isPostgres) await ctx.outsider.query(`CREATE SCHEMA IF NOT EXISTS ${ctx.otherDatabase}`)
      expect((await own.runOnce('a', () => 1)).ran).to.equal(true)
      expect((await own.runOnce('a', () => 1)).ran).to.equal(false)
    })

    it('names the statement to run, for a user that may not create tables', async () => {
      const user = `once_${ctx.database}`.slice(0, 30)
      await ctx.outsider.query(
        ctx.sql(`CREATE USER '${user}'@'%' IDENTIFIED BY 'secret'`, `CREATE ROLE ${user} LOGIN PASSWORD 'secret'`),
      )
      try {
        await ctx.outsider.query(
          ctx.sql(
            `GRANT SELECT ON ${ctx.database}.* TO '${user}'@'%'`,
            `GRANT USAGE ON SCHEMA ${ctx.database} TO ${user}`,
          ),
        )
        const locks = await ctx.service({}, await ctx.dataSource({ username: user, password: 'secret' }))
        const error = await rejection(
          locks.runOnce('a', () => 1),
          NamedLockConfigurationError,
        )
        expect(error.message).to.match(/done\.table: the table 'named_lock_done' .* Create it with CREATE TABLE/)
        const create = /Create it with (.*); See /.exec(error.message)?.[1] ?? ''
        for (const statement of create.split('; ')) {
          await ctx.outsider.query(statement.replaceAll(/(["`])named_lock_done\1/g, table()))
        }
        await ctx.outsider.query(
          ctx.sql(
            `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table()} TO '${user}'@'%'`,
            `GRANT SELECT, INSERT, UPDATE, DELETE ON ${table()} TO ${user}`,
          ),
        )
        expect((await locks.runOnce('a', () => 1)).ran).to.equal(true)
        expect(await locks.forget('a')).to.equal(true)
        await locks.close()
        await locks.dataSource.destroy()
      } finally {
        if (ctx.isPostgres) await ctx.outsider.query(`DROP OWNED BY ${user}`)
        await ctx.outsider.query(ctx.sql(`DROP USER '${user}'@'%'`, `DROP ROLE ${user}`))
      }
    })

    it('has errors of the library for a table that cannot be asked', async () => {
      const dataSource = await ctx.dataSource()
      const locks: NamedLockService = await ctx.service({}, dataSource)
      await locks.runOnce('a', () => 1)
      const faults = failStatements(dataSource, /named_lock_done/)
      faults.begin()
      expect(
        (
          await rejection(
            locks.runOnce('b', () => 1),
            NamedLockError,
          )
        ).code,
      ).to.equal('DATABASE')
      faults.end()
      expect((await locks.runOnce('b', () => 1)).ran).to.equal(true)
    })
  })
})
