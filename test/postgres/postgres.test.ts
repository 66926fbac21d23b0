import { expect } from 'chai'
import { InvalidLockNameError, NamedLockConfigurationError, NamedLockError } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { SqlClient } from '../support/sql-client.js'
import { rejection } from '../support/rejection.js'
import { until } from '../support/until.js'

describe('what only PostgreSQL has', () => {
  forEachDialect((ctx) => {
    beforeEach(function () {
      if (!ctx.isPostgres) this.skip()
    })

    it('shares bigint keys with SQL from outside', async () => {
      const locks = await ctx.service()
      for (const key of [0n, 42n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
        const lock = await locks.acquire(key, { exactName: true })
        expect(lock.key).to.equal(String(key))
        expect(await ctx.outsider.value(`SELECT pg_try_advisory_lock(${key})`), String(key)).to.equal(false)
        expect((await locks.holder(key, { exactName: true }))?.connectionId).to.equal(
          await ctx.outsider.holderOf(String(key)),
        )
        await lock.release()
        expect(await ctx.outsider.value(`SELECT pg_try_advisory_lock(${key})`), String(key)).to.equal(true)
        expect(await locks.tryAcquire(key, { exactName: true }), String(key)).to.equal(null)
        await ctx.outsider.releaseLock(String(key))
      }
      await rejection(locks.acquire('text', { exactName: true }), InvalidLockNameError)
    })

    it('has keys that SQL can work out', async () => {
      const locks = await ctx.service({ namespace: 'shop' })
      const lock = await locks.acquire('order:größer')
      const sql = `SELECT ('x' || left(encode(sha256(convert_to('shop', 'UTF8') || '\\x00'::bytea || convert_to('order:größer', 'UTF8')), 'hex'), 16))::bit(64)::bigint::text`
      expect(await ctx.outsider.value(sql)).to.equal(lock.key)
      await lock.release()
    })

    it('lists all locks of its database, and the names of those that this service knows', async () => {
      const locks = await ctx.service()
      const held = [await locks.acquire('b'), await locks.acquire('a', { session: 'dedicated' })]
      expect(await locks.isLocked('asked for')).to.equal(false)
      const [foreign, asked] = ['foreign', 'asked for'].map((name) => ctx.keyOf(name))
      for (const key of [foreign!, asked!, '42']) await ctx.outsider.getLock(key)
      await ctx.outsider.value('SELECT pg_advisory_lock(1, 2)') // no test uses that key
      const elsewhere = await SqlClient.connect(ctx.server, ctx.otherDatabase)
      await elsewhere.getLock('7')
      const list = await locks.list()
      const known = new Map(list.map(({ key, name }) => [key, name]))
      expect(known).to.deep.equal(
        new Map([
          [ctx.keyOf('a'), 'a'],
          [ctx.keyOf('b'), 'b'],
          [asked, 'asked for'],
          [foreign, undefined],
          ['42', undefined],
        ]),
      )
      for (const { key, holder } of list) {
        expect(holder.connectionId, key).to.equal(await ctx.outsider.holderOf(key))
        expect(holder.user, key).to.equal(ctx.server.username)
        expect(holder.since !== undefined, key).to.equal(['a', 'b'].includes(known.get(key) ?? ''))
      }
      expect((await locks.list({ prefix: 'a' })).map(({ name }) => name)).to.have.members(['a', 'asked for'])
      await elsewhere.end()
      await ctx.outsider.query('SELECT pg_advisory_unlock_all()')
      for (const lock of held) await lock.release()
    })

    it('leaves no lock behind when cancels meet grants', async () => {
      const locks = await ctx.service()
      const key = ctx.keyOf('raced')
      for (let round = 0; round < 150; round++) {
        await ctx.outsider.getLock(key)
        const controller = ctx.abortController()
        const call = locks.acquire('raced', { signal: controller.signal, timeout: '10s' }).then(
          (lock) => lock.release(),
          (reason: unknown) => expect(reason).to.equal('enough'),
        )
        if (round % 2) await new Promise((resolve) => setTimeout(resolve, round % 7))
        const released = ctx.outsider.releaseLock(key)
        if (round % 3) controller.abort('enough')
        await Promise.all([call, released])
        if (round % 3 === 0) controller.abort('enough')
      }
      await until('the lock is free', async () => (await ctx.outsider.holderOf(key)) === null)
    })

    it('does not report a transaction as committed that the server has rolled back', async () => {
      const locks = await ctx.service()
      await ctx.outsider.query(`CREATE TABLE ${ctx.database}.swallowed (id INT PRIMARY KEY)`)
      const work = locks.transaction('a', async (manager) => {
        await manager.query(`INSERT INTO ${ctx.database}.swallowed VALUES (1)`)
        await manager.query('SELECT no_such_column').catch(() => undefined)
        await manager.query('SELECT 1').catch(() => undefined)
      })
      const error = await rejection(work, NamedLockError)
      expect(error.message)
        .to.match(/rolled back/)
        .and.match(/no_such_column/)
      expect(Number(await ctx.outsider.value(`SELECT COUNT(*) FROM ${ctx.database}.swallowed`))).to.equal(0)
      expect(await locks.transaction('a', () => 'usable')).to.equal('usable')
    })

    it('keeps a lock of lockTransaction over a savepoint that is rolled back, and the transaction over a failed wait', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      await ctx.outsider.getLock(ctx.keyOf('busy'))
      await dataSource.transaction(async (manager) => {
        const inner = manager.transaction(async (nested) => {
          await locks.lockTransaction(nested, 'inside')
          throw new Error('back')
        })
        await rejection(inner)
        await rejection(locks.lockTransaction(manager, 'busy', { timeout: 100 }), NamedLockError)
        expect(await manager.query('SELECT 1 AS usable')).to.deep.equal([{ usable: 1 }])
        expect(await ctx.outsider.getLock(ctx.keyOf('inside'))).to.equal(false)
      })
      expect(await ctx.outsider.getLock(ctx.keyOf('inside'))).to.equal(true)
    })

    it('takes no more locks than its table is to bear', async () => {
      const locks = await ctx.service({ maxLocks: 3 })
      const held = await Promise.all(['a', 'b', 'c'].map((name) => locks.acquire(name)))
      const error = await rejection(locks.acquire('d'), NamedLockConfigurationError)
      expect(error.message).to.match(/maxLocks/)
      await held.pop()!.release()
      await (await locks.acquire('d')).release()
      for (const lock of held) await lock.release()
    })
  })
})
