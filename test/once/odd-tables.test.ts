import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockConfigurationError, NamedLockError, NamedLockService } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { SqlClient } from '../support/sql-client.js'
import { connectionsIn, onNewConnection, type DataSource, type RawConnection } from '../support/typeorms.js'

/** Tables, databases and settings of servers that make it hard to keep what is done. */
describe('the table of runOnce', () => {
  forEachDialect((ctx) => {
    const table = (name = 'named_lock_done'): string => `${ctx.database}.${name}`

    beforeEach(() => ctx.outsider.query(`DROP TABLE IF EXISTS ${table()}`))

    /** A DataSource whose connections all have run these statements. */
    async function dataSourceWith(...settings: string[]): Promise<DataSource> {
      const dataSource = await ctx.dataSource()
      const set = (connection: RawConnection): void => {
        for (const sql of settings) void connection.query(sql, () => {})
      }
      for (const connection of connectionsIn(dataSource)) set(connection)
      onNewConnection(dataSource, set)
      return dataSource
    }

    const useless: Record<string, readonly [create: string, message: RegExp]> = ctx.isPostgres
      ? {
          'is unlogged': [
            'CREATE UNLOGGED TABLE ? (lock_key VARCHAR(64) PRIMARY KEY, name TEXT NOT NULL, done_at TIMESTAMPTZ NOT NULL)',
            /is an unlogged table/,
          ],
          'has no unique key': [
            'CREATE TABLE ? (lock_key VARCHAR(64), name TEXT NOT NULL, done_at TIMESTAMPTZ NOT NULL)',
            /has no unique key on lock_key/,
          ],
          'has a time without a time zone': [
            'CREATE TABLE ? (lock_key VARCHAR(64) PRIMARY KEY, name TEXT NOT NULL, done_at TIMESTAMP NOT NULL)',
            /has other columns/,
          ],
          'is of another application': ['CREATE TABLE ? (id INT PRIMARY KEY, done_at TEXT)', /has other columns/],
        }
      : {
          'has no transactions': [
            'CREATE TABLE ? (lock_key VARCHAR(64) PRIMARY KEY, name VARCHAR(1024) NOT NULL, done_at DATETIME(6) NOT NULL) ENGINE=MyISAM',
            /has the engine MyISAM, which has no transactions/,
          ],
          'has a key of two columns': [
            'CREATE TABLE ? (lock_key VARCHAR(64), name VARCHAR(1024) NOT NULL, done_at DATETIME(6) NOT NULL, PRIMARY KEY (lock_key, done_at))',
            /has no unique key on lock_key/,
          ],
          'has short columns': [
            'CREATE TABLE ? (lock_key VARCHAR(20) PRIMARY KEY, name VARCHAR(1024) NOT NULL, done_at DATETIME(6) NOT NULL)',
            /has other columns/,
          ],
          'is of another application': ['CREATE TABLE ? (id INT PRIMARY KEY, done_at TEXT)', /has other columns/],
        }
    for (const [what, [create, message]] of Object.entries(useless)) {
      it(`is refused where it ${what}`, async () => {
        await ctx.outsider.query(create.replace('?', table()))
        const locks = await ctx.service()
        const work = (): never => expect.fail('the work ran')
        const error = await rejection(locks.runOnce('a', work), NamedLockConfigurationError)
        expect(error.message)
          .to.match(/done\.table: the table 'named_lock_done' /)
          .and.match(message)
        expect(error.message).to.match(/one like this: CREATE TABLE IF NOT EXISTS/)
        await ctx.outsider.query(`DROP TABLE ${table()}`)
        expect((await locks.runOnce('a', () => 1)).ran).to.equal(true)
        expect((await locks.runOnce('a', work)).ran).to.equal(false)
      })
    }

    it('is looked at once', async () => {
      const locks = await ctx.service()
      await locks.runOnce('a', () => 1)
      await ctx.outsider.query(`DELETE FROM ${table()}`)
      await ctx.outsider.query(`ALTER TABLE ${table()} ADD COLUMN more INT`)
      expect((await locks.runOnce('a', () => 1)).ran).to.equal(true)
    })

    it('says why it cannot be created', async () => {
      const locks = await ctx.service({ done: { table: 'no_such_schema.done' } })
      const error = await rejection(
        locks.runOnce('a', () => 1),
        NamedLockError,
      )
      expect(error.message).to.match(ctx.isPostgres ? /could not be created \(.*no_such_schema.*\)/ : /no_such_schema/)
    })

    it('is not written in a session that only reads, and says so', async () => {
      await (await ctx.service()).runOnce('done', () => 1)
      const readOnly = ctx.sql('SET SESSION TRANSACTION READ ONLY', 'SET default_transaction_read_only = on')
      const locks = await ctx.service({}, await dataSourceWith(readOnly))
      expect((await locks.runOnce('done', () => 1)).ran).to.equal(false)
      const error = await rejection(
        locks.runOnce('a', () => 1),
        NamedLockError,
      )
      expect(error.message).to.match(/read.only/i)
      await ctx.outsider.query(`DROP TABLE ${table()}`)
      const missing = await rejection(
        locks.runOnce('a', () => 1),
        NamedLockError,
      )
      expect(missing.message).to.match(/read.only/i)
    })

    it('has a name of its own length', async () => {
      const names = ['1', '2'].map((end) => `${'t'.repeat(62)}${end}`)
      for (const name of names) {
        const locks = await ctx.service({ done: { table: name } })
        expect((await locks.runOnce('a', () => 1)).ran, name).to.equal(true)
        expect((await locks.runOnce('a', () => 1)).ran, name).to.equal(false)
        if (!ctx.isPostgres) continue
        const indexes = await ctx.outsider.query('SELECT indexname FROM pg_indexes WHERE tablename = ?', [name])
        expect(indexes, name).to.have.length(2)
      }
      for (const name of names) await ctx.outsider.query(`DROP TABLE ${table(name)}`)
      const long = await ctx.service({ done: { table: 't'.repeat(65) } })
      const error = await rejection(
        long.runOnce('a', () => 1),
        NamedLockError,
      )
      expect(error.message).to.match(ctx.isPostgres ? /65 bytes/ : /65 characters/)
    })

    it('is created and used under odd settings', async () => {
      const settings = ctx.isPostgres
        ? ["SET standard_conforming_strings = off; SET search_path = '', pg_catalog; SET backslash_quote = off"]
        : [
            "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'",
            'SET SESSION default_storage_engine = MyISAM',
            'SET SESSION autocommit = 0',
            ...(ctx.kind === 'mysql' ? ['SET SESSION sql_require_primary_key = ON'] : []),
          ]
      const done = { table: `${ctx.database}.Done_$` }
      const locks = await ctx.service({ done }, await dataSourceWith(...settings))
      const other = await ctx.service({ done })
      for (const name of ["it's", 'back\\slash', 'ü']) {
        expect((await locks.runOnce(name, () => 1)).ran, name).to.equal(true)
        expect((await other.runOnce(name, () => 1)).ran, name).to.equal(false)
        await rejection(
          locks.runOnce(`${name} fails`, () => Promise.reject(new Error('no'))),
          Error,
        )
        expect((await other.runOnce(`${name} fails`, () => 1)).ran, name).to.equal(true)
      }
      await sleep(2)
      expect(await locks.forgetDone({ olderThan: 1 })).to.equal(6)
    })

    it('is refused where the server makes an engine of its own choice of it', async () => {
      ctx.notOnPostgres('it has one engine')
      if (ctx.kind === 'mysql') return // no setting of it does that
      const forced = ["SET SESSION sql_mode = ''", 'SET SESSION enforce_storage_engine = MyISAM']
      const locks = await ctx.service({}, await dataSourceWith(...forced))
      const error = await rejection(
        locks.runOnce('a', () => 1),
        NamedLockConfigurationError,
      )
      expect(error.message).to.match(/has the engine MyISAM/)
    })

    if (ctx.isPostgres) {
      it('keeps names that the encoding of the database lacks', async () => {
        const database = `${ctx.database}_latin1`
        await ctx.outsider.query(
          `CREATE DATABASE ${database} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`,
        )
        const dataSource = await ctx.dataSource({ database })
        const client = await SqlClient.connect(ctx.server, database)
        try {
          const locks = ctx.adopt(new NamedLockService(dataSource))
          const names = ['é', '€', '😀', '\\u20ac', 'a\0€', 'plain']
          for (const name of names) expect((await locks.runOnce(name, () => 1)).ran, name).to.equal(true)
          for (const name of names) expect((await locks.runOnce(name, () => 1)).ran, name).to.equal(false)
          const kept = (await client.query('SELECT name FROM named_lock_done')).map((row) => String(row.name))
          expect(kept).to.include.members(['\\u00e9', '\\u20ac', '\\ud83d\\ude00', 'plain'])
          await locks.withLock('€', async () => {
            expect((await locks.list()).length).to.equal(1)
            expect(await locks.isLocked('€')).to.equal(true)
          })
          await sleep(2)
          expect(await locks.forgetDone({ olderThan: 1 })).to.equal(names.length)
          await locks.close()
        } finally {
          await dataSource.destroy()
          await client.end()
          await ctx.outsider.dropDatabase(database)
        }
      })
    }
  })
})
