import { expect } from 'chai'
import { createRequire } from 'node:module'
import { NamedLockLostError, NamedLockTimeoutError, type NamedLockService } from '../../src/index.js'
import { forEachServerAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { mysqlKinds } from '../support/servers.js'
import { typeorms, type DataSource } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'

/** Installed under another name: TypeORM 0.3 prefers a driver called `mysql` to mysql2, for all of its DataSources. */
const mysqljs: unknown = createRequire(__filename)('mysqljs')

const PASSWORD = 'old-driver'

describe("the older driver 'mysql' of TypeORM 0.3", () => {
  forEachServerAndTypeorm(
    (ctx) => {
      let user: string | undefined

      beforeEach('a user that the driver can sign in as', async function () {
        if (ctx.kind === 'mariadb') return
        // The driver supports no other authentication; MySQL 8.4 disables it, and MySQL 9 has removed it.
        const plugin =
          "SELECT 1 FROM information_schema.PLUGINS WHERE PLUGIN_NAME='mysql_native_password' AND PLUGIN_STATUS='ACTIVE'"
        if ((await ctx.outsider.query(plugin)).length === 0) {
          this.currentTest!.title += ' (needs a server with mysql_native_password)'
          this.skip()
        }
        const name = `${ctx.database}_old`
        await ctx.outsider.query(
          `CREATE USER IF NOT EXISTS '${name}'@'%' IDENTIFIED WITH mysql_native_password BY '${PASSWORD}'`,
        )
        await ctx.outsider.query(`GRANT ALL ON *.* TO '${name}'@'%'`)
        user = name
      })

      const open = (more: Record<string, unknown> = {}): Promise<DataSource> =>
        ctx.dataSource({
          ...(user !== undefined && { username: user, password: PASSWORD }),
          more: { driver: mysqljs, connectorPackage: 'mysql', ...more },
        })
      const service = async (more?: Record<string, unknown>): Promise<NamedLockService> =>
        ctx.service({}, await open(more))

      it('is the driver under test', async () => {
        const { driver } = await open()
        expect((driver as unknown as { mysql: unknown }).mysql).to.equal(mysqljs)
      })

      it('excludes its own services and those of mysql2, also after many locks of one caller', async () => {
        const [a, b] = [await service(), await ctx.service()]
        for (const [mine, theirs] of [
          [a, b],
          [b, a],
        ] as const) {
          for (let i = 0; i < 20; i++) await mine.withLock('x', () => undefined)
          await mine.withLock('x', async (lock) => {
            expect(await theirs.tryAcquire('x')).to.equal(null)
            await rejection(theirs.acquire('x', { timeout: 100 }), NamedLockTimeoutError)
            expect(await lock.verify()).to.equal(true)
          })
        }
      })

      it('passes a contended lock on among callers of two processes', async () => {
        const services = [await service(), await service()]
        let inside = 0
        let visits = 0
        const calls = services.flatMap((locks) =>
          Array.from({ length: 20 }, () =>
            locks.withLock('hot', async () => {
              expect(++inside).to.equal(1)
              await new Promise(setImmediate)
              visits++
              inside--
            }),
          ),
        )
        await settlesWithin(15_000, 'all', Promise.all(calls))
        expect(visits).to.equal(40)
      })

      it('runs transactions with an exact sum, including a rollback', async () => {
        const services = [await service(), await service()]
        await ctx.outsider.query(`CREATE TABLE IF NOT EXISTS ${ctx.database}.sums (n INT)`)
        await ctx.outsider.query(`INSERT INTO ${ctx.database}.sums VALUES (0)`)
        const add = async (locks: NamedLockService, fails: boolean): Promise<void> =>
          locks.transaction('sum', async (manager, lock) => {
            const [row] = await manager.query(`SELECT n FROM ${ctx.database}.sums`)
            await manager.query(`UPDATE ${ctx.database}.sums SET n=${Number(row.n) + 1}`)
            expect(lock.isHeld).to.equal(true)
            if (fails) throw new Error('back')
          })
        const calls = services.flatMap((locks) => Array.from({ length: 10 }, (_, i) => add(locks, i === 4)))
        const outcomes = await settlesWithin(15_000, 'all', Promise.allSettled(calls))
        expect(outcomes.filter(({ status }) => status === 'rejected').length).to.equal(2)
        expect(Number(await ctx.outsider.value(`SELECT n FROM ${ctx.database}.sums`))).to.equal(18)
        await services[0]!.dataSource.transaction(async (manager) => {
          await services[0]!.lockTransaction(manager, 'sum')
          expect(await services[1]!.tryAcquire('sum')).to.equal(null)
        })
      })

      it('supports list, holder, check and fencing tokens', async () => {
        const [a, b] = [await service(), await service()]
        let last = 0n
        for (const [mine, theirs] of [
          [a, b],
          [b, a],
        ] as const) {
          await mine.withLock(['x', 'y'], async (lock) => {
            const token = await lock.fencingToken()
            expect(token > last, `${token} after ${last}`).to.equal(true)
            last = token
            const holder = await theirs.holder('x')
            expect(holder?.connectionId).to.equal(await ctx.outsider.holderOf(ctx.keyOf('x')))
            const listed = await theirs.list()
            expect(listed.map(({ name }) => name)).to.have.members(['x', 'y'])
            for (const one of listed) expect(one.holder.connectionId).to.equal(holder?.connectionId)
            expect(await theirs.isLocked('y')).to.equal(true)
          })
        }
        expect(await a.check()).to.deep.equal([])
        expect(await a.list()).to.deep.equal([])
        const token = await a.transaction('x', (_manager, lock) => lock.fencingToken())
        expect(token > last).to.equal(true)
      })

      for (const how of ['idle', 'transaction'] as const)
        it(`reports KILL of the holder's connection with its real cause, ${how === 'idle' ? 'while it is idle' : 'in a transaction'}`, async () => {
          const locks = await service()
          const kill = async (signal: AbortSignal): Promise<void> => {
            await ctx.outsider.kill((await ctx.outsider.holderOf(ctx.keyOf('x')))!)
            await until('the loss to be known', () => signal.aborted)
          }
          const running =
            how === 'idle'
              ? locks.withLock('x', (lock) => kill(lock.signal))
              : locks.transaction('x', (_manager, lock) => kill(lock.signal))
          const { message, cause } = await rejection(settlesWithin(5_000, 'the call', running), NamedLockLostError)
          const reason = `${message} / ${String(cause)}`
          expect(reason).to.match(/Connection lost|server closed the connection|connection was (closed|killed)|KILL/i)
          expect(await locks.withLock('x', () => 'again')).to.equal('again')
        })

      it('finds the size of its pool', async () => {
        const findings = await (await service({ poolSize: 2 })).check()
        expect(findings.map(({ code }) => code)).to.deep.equal(['POOL_TOO_SMALL'])
      })
    },
    typeorms.filter(({ packageName }) => packageName === 'typeorm03'),
    undefined,
    mysqlKinds,
  )
})
