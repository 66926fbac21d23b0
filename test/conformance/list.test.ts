import { expect } from 'chai'
import { NamedLockConfigurationError, NamedLockError, type LockInfo, type NamedLockService } from '../../src/index.js'
import { makeDataSource } from '../support/typeorms.js'
import { forEachOwnServer, forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { SqlClient } from '../support/sql-client.js'
import { until } from '../support/until.js'

const names = (list: readonly LockInfo[]) => list.map(({ name }) => name)

describe('list', () => {
  forEachDialectAndTypeorm((ctx) => {
    it('is empty and complete if no lock is held', async () => {
      const list = await (await ctx.service()).list()
      expect(list).to.deep.equal([])
      expect(list.note).to.equal(undefined)
    })

    it('lists own locks and those of other processes in the namespace, and no more', async () => {
      ctx.notOnPostgres('keys tell no name, see test/postgres')
      const locks = await ctx.service()
      const held = [await locks.acquire('b'), await locks.acquire('a', { session: 'dedicated' })]
      await ctx.outsider.getLock(`${ctx.database}.c`)
      await ctx.outsider.getLock(`${ctx.otherDatabase}.d`)
      await ctx.outsider.getLock('d')
      const list = await locks.list()
      expect(names(list)).to.deep.equal(['a', 'b', 'c'])
      expect(list.map(({ key }) => key)).to.deep.equal(['a', 'b', 'c'].map((name) => `${ctx.database}.${name}`))
      for (const { key, holder } of list) {
        expect(holder.connectionId, key).to.equal(await ctx.outsider.holderOf(key))
        expect(holder.user, key).to.equal(ctx.server.username)
      }
      expect(list[0]!.holder.since).to.be.a('date')
      expect(list[0]!.holder.process).to.match(new RegExp(`:${process.pid}$`))
      for (const lock of held) await lock.release()
      expect(names(await locks.list())).to.deep.equal(['c'])
    })

    it('treats a prefix literally, with % and _ in it', async () => {
      const locks = await ctx.service()
      const held = await Promise.all(['a%b', 'a_b', 'axb', 'ünï%1', 'Order:1'].map((name) => locks.acquire(name)))
      expect(names(await locks.list({ prefix: 'a%' }))).to.deep.equal(['a%b'])
      expect(names(await locks.list({ prefix: 'a_' }))).to.deep.equal(['a_b'])
      expect(names(await locks.list({ prefix: 'a' }))).to.have.members(['a%b', 'a_b', 'axb'])
      expect(names(await locks.list({ prefix: 'ünï' }))).to.deep.equal(['ünï%1'])
      expect(names(await locks.list({ prefix: 'Order' }))).to.deep.equal(['Order:1'])
      expect(await locks.list({ prefix: 'order' })).to.deep.equal([])
      for (const lock of held) await lock.release()
    })

    it('lists waiters in order: other processes, and the callers of this process behind one connection', async () => {
      const locks = await ctx.service()
      const [first, second] = [await ctx.connectOutsider(), await ctx.connectOutsider()]
      const key = ctx.keyOf('queue')
      await ctx.outsider.getLock(key)
      const early = first.getLock(key, 20)
      await waitsFor(locks, 1)
      const mine = [locks.acquire('queue'), locks.acquire('queue')]
      const [info] = await waitsFor(locks, 3, (one) => one.waiters[1]?.connectionId !== undefined)
      const late = second.getLock(key, 20).then(async (got) => {
        await second.releaseLock(key)
        return got
      })
      const mineIs = (one: LockInfo): string | undefined =>
        one.waiters
          .map(({ connectionId }) => connectionId)
          .find((id) => id !== first.id && id !== second.id && id !== undefined)
      const [entry] = await waitsFor(locks, 4, (one) => mineIs(one) !== undefined)
      expect(entry!.holder.connectionId).to.equal(ctx.outsider.id)
      const waiters = entry!.waiters.map(({ connectionId }) => connectionId)
      // On PostgreSQL a wait of this process is renewed every 50 ms, behind those of other processes.
      if (ctx.isPostgres) expect(waiters).to.have.members([first.id, second.id, mineIs(entry!), undefined])
      else expect(waiters).to.deep.equal([first.id, info!.waiters[1]!.connectionId, undefined, second.id])
      await locks.acquire('other').then((lock) => lock.release())
      expect(names(await locks.list({ waiting: true }))).to.deep.equal(['queue'])
      await ctx.outsider.releaseLock(key)
      expect(await early).to.equal(true)
      await first.releaseLock(key)
      for (const lock of mine) await (await lock).release()
      expect(await late).to.equal(true)
      expect(await locks.list({ waiting: true })).to.deep.equal([])
    })

    it('never lists a waiter as a holder, and omits its own polling marks', async () => {
      const one = await ctx.service({ maxSessions: 1, namespace: false })
      const name = `${ctx.database}.polled`
      const key = ctx.keyOf(name, false)
      await ctx.outsider.getLock(key)
      const mine = one.acquire(name)
      const list = () => one.list({ prefix: ctx.database })
      await until('a polling waiter', async () => (await list())[0]?.waiters.length === 1)
      await until('the polling mark', async () => (await ctx.outsider.userLocksOf(ctx.database)).length > 0)
      expect((await one.list()).map((info) => info.key)).to.deep.equal([key])
      expect((await list())[0]!.holder.connectionId).to.equal(ctx.outsider.id)
      await ctx.outsider.releaseLock(key)
      await (await mine).release()
    })

    it('shows exact names of this service as given', async () => {
      ctx.notOnPostgres('exact names are numbers')
      const locks = await ctx.service()
      const name = `${ctx.database}: Exact`
      const lock = await locks.acquire(name, { exactName: true })
      expect(names(await locks.list())).to.deep.equal([name])
      await lock.release()
    })

    it('shows name, time and process for shortened keys of another process', async () => {
      ctx.notOnPostgres('sessions cannot leave notes for other processes')
      const locks = await ctx.service()
      const name = 'Rechnung Nr. 4711 für Ärger: ' + 'sehr lang '.repeat(10)
      const child = ctx.startChild('hold-until-told.ts', { name })
      const startedAt = Date.now()
      await child.next('held')
      const heldAt = Date.now()
      const key = (await locks.list())[0]!.key
      expect(key).to.include('~')
      const info = await until('the note of the other process', async () => {
        const [one] = await locks.list()
        return one?.name === undefined ? undefined : one
      })
      expect(info.name).to.equal(name)
      expect(info.holder.process).to.match(/:\d+$/)
      // Two processes read the clock at different times.
      expect(info.holder.since!.getTime()).to.be.within(startedAt - 1_000, heldAt + 1_000)
      const holder = await locks.holder(name)
      expect(holder?.process).to.equal(info.holder.process)
      expect(holder?.since).to.deep.equal(info.holder.since)
      child.send({ type: 'release' })
      await child.exited
    })

    it('ignores notes that do not match the key', async () => {
      ctx.notOnPostgres('sessions cannot leave notes for other processes')
      const locks = await ctx.service()
      const lock = await (await ctx.service()).acquire('Ä')
      const liar = await ctx.connectOutsider()
      const lie = { process: 'x:1', held: [{ key: lock.key, connectionId: '1', since: 1, name: 'Ö' }], waited: {} }
      await liar.query('SET @`typeorm-named-lock` = ?', [JSON.stringify(lie)])
      const other = await ctx.connectOutsider()
      await other.query("SET @`typeorm-named-lock` = '{not even JSON'")
      expect((await locks.list())[0]!.name).to.equal(undefined)
      await lock.release()
    })

    it('refuses unknown options', async () => {
      const locks = await ctx.service()
      await rejection(locks.list({ prefx: 'a' } as object), NamedLockConfigurationError)
      await rejection(locks.list({ prefix: 1 } as object), NamedLockConfigurationError)
      await rejection(locks.list({ waiting: 'yes' } as object), NamedLockConfigurationError)
    })

    it('names the missing grant', async () => {
      ctx.notOnPostgres('every account may see the locks')
      const user = ctx.database // any unused name
      await ctx.outsider.query(`CREATE USER '${user}'@'%' IDENTIFIED BY 'weak'`)
      await ctx.outsider.query(`GRANT ALL ON ${ctx.database}.* TO '${user}'@'%'`)
      const weak = makeDataSource(ctx.typeorm, { ...ctx.address, username: user, password: 'weak' })
      await weak.initialize()
      try {
        const locks = await ctx.service({}, weak)
        const error = await rejection(locks.list(), NamedLockError)
        expect(error.message).to.include(`GRANT SELECT ON performance_schema.* TO '${user}'@'%'`)
        expect(error.cause).to.have.property('errno', 1142)
        await ctx.outsider.query(`GRANT SELECT ON performance_schema.* TO '${user}'@'%'`)
        await ctx.outsider.getLock(`${ctx.database}.seen`)
        expect(names(await locks.list())).to.deep.equal(['seen'])
        await locks.close()
      } finally {
        await weak.destroy()
        await ctx.outsider.query(`DROP USER '${user}'@'%'`)
      }
    })
  })

  async function waitsFor(locks: NamedLockService, count: number, also = (_info: LockInfo) => true) {
    return until(`${count} waiters`, async () => {
      const list = await locks.list()
      return list[0]?.waiters.length === count && also(list[0]) ? list : undefined
    })
  }
})

describe('list where performance_schema is off', () => {
  forEachOwnServer(
    (ctx) => {
      it('lists the locks that this service holds or has requested, and notes that the list is incomplete', async () => {
        const locks = await ctx.service()
        for (const free of ['free', 'free too']) expect(await locks.isLocked(free)).to.equal(false)
        expect(await locks.list()).to.deep.equal([])
        const lock = await locks.acquire('mine')
        const outsider = await SqlClient.connect(ctx.server)
        await outsider.getLock(`${ctx.database}.asked for`)
        await outsider.getLock(`${ctx.database}.never heard of`)
        expect(await locks.isLocked('asked for')).to.equal(true)
        const waiter = await SqlClient.connect(ctx.server)
        const waiting = waiter.getLock(lock.key, 20)
        if (ctx.kind === 'mariadb') {
          await until('the waiter', async () => (await locks.list({ waiting: true })).length === 1)
        }
        const list = await locks.list()
        expect(names(list)).to.deep.equal(['asked for', 'mine'])
        expect(list[0]!.holder.connectionId).to.equal(outsider.id)
        expect(list.note).to.match(/may be missing/)
        await lock.release()
        await waiting
        if (ctx.kind === 'mariadb') {
          await outsider.query("INSTALL SONAME 'metadata_lock_info'")
          const all = await locks.list()
          expect(all.note).to.equal(undefined)
          expect(names(all)).to.deep.equal(['asked for', 'mine', 'never heard of'])
          expect(all[1]!.holder.connectionId).to.equal(waiter.id)
          await outsider.query("UNINSTALL SONAME 'metadata_lock_info'")
        }
        await waiter.end()
        await outsider.end()
      })
    },
    ['--performance-schema=OFF'],
  )
})
