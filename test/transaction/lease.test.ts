import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EntityManager } from 'typeorm'
import { NamedLockLostError, type NamedLock, type NamedLockService } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { sideBySide } from '../support/side-by-side.js'
import type { RawConnection } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { onStatement } from './support/on-statement.js'
import { Stock } from './support/stock.js'

/** Where the lease is to end. */
const LEASE = 1_000
/** Where it is not to: a busy machine may stop this process for three seconds. The server then lets go after 6 s. */
const LONGER_LEASE = 4_500
const OFTEN = 1_000
const LONG = 7_200
/** What a busy machine may add to times that the server keeps. */
const NOISE = 5_000

describe('the lease of a transaction', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)
    const keyOf = (name: string) => ctx.keyOf(name)

    beforeEach(() => stock.fill(3))

    /** Ways to have a lock on a connection that one's own statements run on. */
    const ways: Record<
      string,
      (
        locks: NamedLockService,
        name: string,
        work: (m: EntityManager, lock?: NamedLock) => Promise<unknown>,
      ) => Promise<unknown>
    > = {
      transaction: (locks, name, work) => locks.transaction(name, work),
      'a dedicated lock': (locks, name, work) =>
        locks.withLock(name, { session: 'dedicated' }, (lock) => work(lock.manager, lock)),
      lockTransaction: (locks, name, work) =>
        locks.dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, name)
          return work(manager)
        }),
    }

    /** Nothing is heard of a connection during a long statement: another one asks the server whether the lock is still held. */
    async function untilTheServersWord(): Promise<void> {
      const proxy = await ctx.proxy()
      const dataSource = await ctx.dataSource({ port: proxy.port })
      const locks = await ctx.service({ lease: LEASE }, dataSource)
      let held: NamedLock | undefined
      const run = locks.transaction('word', async (manager, lock) => {
        held = lock
        await stock.add(manager, 0)
        await manager.query('SELECT SLEEP(60)')
      })
      const lost = rejection(run, NamedLockLostError)
      await until('the statement', async () =>
        (await ctx.outsider.connectionsOf(ctx.database)).some(({ statement }) => statement?.includes('SLEEP(60)')),
      )
      // From here on the network drops every packet of this connection, without an error.
      proxy.forget()
      await sleep(LEASE * 2)
      expect(held!.isHeld, 'while the server says so').to.equal(true)
      await ctx.outsider.kill(String(await ctx.outsider.holderOf(keyOf('word'))))
      await until('the loss', () => !held!.isHeld, { within: 15_000 })
      expect(held!.signal.aborted).to.equal(true)
      expect(await settlesWithin(5_000, 'the transaction', lost)).to.have.property('outcome', 'rolledBack')
      expect(await stock.count(0)).to.equal(0)
    }

    /** The server idles while it waits for the client to read, and the lease goes on. */
    async function withAStreamThatIsNotRead(): Promise<void> {
      const locks = await ctx.service({ lease: LEASE })
      const many = `SELECT REPEAT('x', 100) AS text FROM information_schema.COLLATIONS a, information_schema.COLLATIONS b LIMIT 5000`
      let held: NamedLock | undefined
      const run = locks.transaction('unread', async (manager, lock) => {
        held = lock
        await stock.add(manager, 1)
        const stream = await manager.queryRunner!.stream(many)
        stream.on('error', () => undefined)
        await new Promise((resolve) => stream.once('data', resolve))
        stream.pause()
        await until('the loss', () => lock.signal.aborted, { within: 15_000 })
        stream.destroy()
      })
      expect(await rejection(run, NamedLockLostError)).to.have.property('outcome', 'rolledBack')
      expect(held!.isHeld).to.equal(false)
      expect(await stock.count(1)).to.equal(0)
    }

    /** Reading keeps up with the server, which takes longer than the lease for all of it. */
    async function withASlowStream(): Promise<void> {
      const locks = await ctx.service({ lease: LEASE })
      const slow = 'SELECT SLEEP(0.4) AS slept FROM information_schema.COLLATIONS LIMIT 10'
      const rows = await locks.transaction('slow', async (manager, lock) => {
        const stream = await manager.queryRunner!.stream(slow)
        let count = 0
        for await (const row of stream) if (row) count++
        expect([lock.isHeld, await lock.verify()]).to.deep.equal([true, true])
        await stock.add(manager, 2)
        return count
      })
      expect(rows).to.equal(10)
      expect(await stock.count(2)).to.equal(1)
    }

    it('does not run during statements, but between them; the server decides in the end', async () => {
      const cases: Record<string, () => Promise<void>> = {
        'a statement that the server has forgotten': untilTheServersWord,
        // pg's streams are a package of their own.
        ...(!ctx.isPostgres && {
          'a stream that is not read': withAStreamThatIsNotRead,
          'a stream that is read while it comes': withASlowStream,
        }),
      }
      const locks = await ctx.service({ lease: LONGER_LEASE, keepAlive: OFTEN })
      for (const [i, [way, run]] of Object.entries(ways).entries()) {
        cases[`${way}, busy`] = async () => {
          await run(locks, `busy ${i}`, async (manager, lock) => {
            await manager.query(`SELECT SLEEP(${LONG / 1_000})`)
            if (lock) expect([lock.isHeld, await lock.verify()]).to.deep.equal([true, true])
            expect(await ctx.outsider.getLock(keyOf(`busy ${i}`))).to.equal(false)
          })
        }
        cases[`${way}, silent`] = async () => {
          await run(locks, `silent ${i}`, async (manager, lock) => {
            await sleep(LONG)
            if (lock) expect([lock.isHeld, await lock.verify()]).to.deep.equal([true, true])
            const [row] = await manager.query('SELECT CONNECTION_ID() AS id')
            expect(await ctx.outsider.holderOf(keyOf(`silent ${i}`))).to.equal(String(row.id))
          })
        }
      }
      await sideBySide(cases)
    }).timeout(60_000)

    it('needs no keepalive while the work sends statements, and has one after a third of it in silence', async () => {
      const keepAlive = 500
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({ lease: keepAlive * 3 }, dataSource)
      const spokeAt = new Map<RawConnection, number>()
      let heartbeats = 0
      const silences: number[] = []
      onStatement(dataSource, /./, (connection, sql) => {
        const now = performance.now()
        if (sql === 'SELECT 1') {
          heartbeats++
          silences.push(now - (spokeAt.get(connection) ?? 0))
        }
        spokeAt.set(connection, now)
      })
      await locks.transaction('a', async (manager) => {
        const end = performance.now() + keepAlive * 2
        while (performance.now() < end) {
          await stock.add(manager)
          await sleep(50)
        }
        const whileBusy = heartbeats
        await until('heartbeats', () => heartbeats >= whileBusy + 2, { within: 15_000 })
      })
      // Not one for the sake of the clock alone: each ended a silence. Timers may be early by a millisecond.
      for (const silence of silences) expect(silence).to.be.at.least(keepAlive - 5)
    }).timeout(30_000)

    it('keeps a stopped process from harm: its transaction is gone by then, and it knows when it goes on', async () => {
      const service = { lease: LEASE }
      const child = ctx.startChild('transact.ts', {
        name: 'a',
        service,
        statement: `UPDATE ${stock.table} SET n = n + 1 WHERE id = 0`,
      })
      expect((await child.next('inside', 60_000)).isHeld).to.equal(true)
      const connections = async () => (await ctx.outsider.connectionsOf(ctx.database)).map(({ id }) => id)
      const holder = String(await ctx.outsider.holderOf(keyOf('a')))
      expect(await connections()).to.include(holder)
      child.stop()
      const stoppedAt = performance.now()
      const locks = await ctx.service(service)
      await locks.transaction('a', { timeout: '30s' }, async (manager) => {
        expect(performance.now() - stoppedAt).to.be.lessThan(LEASE + 2_000 + NOISE)
        expect(await stock.read(manager)).to.equal(0)
        await stock.write(manager, 10)
      })
      expect(await connections()).to.not.include(holder)
      child.send({ type: 'end' })
      child.cont()
      expect((await child.next('ending')).isHeld).to.equal(false)
      expect(await child.next('failed')).to.include({ code: 'LOST', outcome: 'rolledBack' })
      expect(await stock.count()).to.equal(10)
      expect((await child.exited).code).to.equal(0)
    }).timeout(30_000)

    it('is not kept by the connection when it goes back to the application', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const waitTimeouts = async () => {
        const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()]
        const rows = await Promise.all(
          runners.map((one) =>
            one.query(
              ctx.sql(
                'SELECT @@SESSION.wait_timeout AS wait',
                "SELECT setting AS wait FROM pg_settings WHERE name = 'idle_session_timeout'",
              ),
            ),
          ),
        )
        await Promise.all(runners.map((runner) => runner.release()))
        return rows.map(([row]) => Number(row.wait))
      }
      const before = await waitTimeouts()
      const locks = await ctx.service({ lease: LEASE }, dataSource)
      await locks.transaction('a', () => undefined)
      await locks.close()
      expect(await waitTimeouts()).to.deep.equal(before)
    })
  })
})
