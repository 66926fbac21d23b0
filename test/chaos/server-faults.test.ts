import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockError, NamedLockLostError } from '../../src/index.js'
import { forEachOwnServer } from '../support/conformance.js'
import { Figure } from '../support/figure.js'
import { clock } from '../support/fixtures/clock.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { Scene } from '../support/scene.js'
import { sharedServer } from '../support/servers.js'
import { SqlClient } from '../support/sql-client.js'
import { settlesWithin, until } from '../support/until.js'

/** What the service is given to recover on a busy machine: the promise is a second. */
const SOON = 6_000
const CONNECTIONS = 60

const recovery = new Figure('the service again after the fault', 1_000)

/** The server's error for one connection too many. */
function isFull(error: unknown): boolean {
  const { errno, code } = error as { errno?: unknown; code?: unknown }
  return errno === 1040 || code === '53300'
}

describe('a server', function () {
  this.timeout(60_000)

  forEachOwnServer(
    (ctx) => {
      it('is killed and started again: holders know at once, waiters go on, newcomers get the error', async function () {
        this.timeout(60_000)
        const scenes = await Promise.all(
          (['shared', 'dedicated'] as const).map((session) => Scene.set(ctx, session, { lease: '30s' }, { session })),
        )
        const killedAt = clock()
        await ctx.server.kill()
        for (const scene of scenes) expect((await scene.lost()) - killedAt).to.be.lessThan(SOON)
        const refused = await settlesWithin(
          SOON,
          'an error',
          rejection(scenes[0]!.service.acquire('new'), NamedLockError),
        )
        const { code, message } = refused.cause as { code?: string; message: string }
        expect(code ?? message).to.match(/^(ECONN|PROTOCOL_CONNECTION_LOST|Connection terminated)/)
        await ctx.server.restart()
        const backAt = clock()
        for (const scene of scenes) {
          await scene.granted()
          expect(scene.wasHeldAtGrant).to.equal(false)
          expect(scene.grantedAt! - backAt, 'the waiter').to.be.lessThan(SOON)
          recovery.add(await scene.recovers())
        }
        await ctx.reconnectOutsider()
      })

      it('is not overrun by callers that wait for it to come back', async function () {
        this.timeout(60_000)
        const proxy = await ctx.proxy()
        const service = await ctx.service({ timeout: '30s' }, await ctx.dataSource({ port: proxy.port }))
        const names = Array.from({ length: 300 }, (_, i) => `n${i}`)
        const held = await Promise.all(names.map((name) => service.acquire(name)))
        const waiting = names.map((name) => service.acquire(name))
        await ctx.server.kill()
        await until('the loss', () => held.every(({ isHeld }) => !isHeld))
        const before = proxy.accepted
        await sleep(2_500)
        const tries = proxy.accepted - before
        await ctx.server.restart()
        const backAt = clock()
        const again = await settlesWithin(25_000, 'all of them', Promise.all(waiting))
        expect(clock() - backAt).to.be.lessThan(SOON)
        await Promise.all([...held, ...again].map((lock) => lock.release()))
        // One service tries every half a second, for the shared session and for a waiting one.
        expect(tries, 'tries to connect within 2.5 s').to.be.within(1, 40)
        await ctx.reconnectOutsider()
      })

      it('is frozen for longer than the lease and thawed', async function () {
        this.timeout(60_000)
        const scenes = await Promise.all(
          (['shared', 'dedicated'] as const).map((session) => Scene.set(ctx, session, {}, { session })),
        )
        await ctx.server.freeze()
        const frozenAt = clock()
        for (const scene of scenes) {
          expect((await scene.lost()) - frozenAt).to.be.lessThan(1_000 + SOON)
          expect(scene.grantedAt).to.equal(undefined)
        }
        await sleep(1_500) // the waiters' sessions are lost too by now
        await ctx.server.thaw()
        const thawedAt = clock()
        for (const scene of scenes) {
          await scene.granted()
          expect(scene.grantedAt! - thawedAt, 'the waiter').to.be.lessThan(SOON)
          recovery.add(await scene.recovers())
        }
      })

      it('has no connections left: locks go on, newcomers get the error, and it recovers automatically', async () => {
        const service = await ctx.service()
        const held = await service.acquire('held')
        const dataSource = await ctx.dataSource()
        const newcomer = await ctx.service({}, dataSource)
        const runner = dataSource.createQueryRunner()
        await runner.connect() // the connection that its pool has already
        const crowd: SqlClient[] = []
        const full = await until('the server to be full', async () => {
          for (;;) {
            try {
              crowd.push(await SqlClient.connect(ctx.server))
            } catch (error) {
              return error
            }
          }
        })
        expect(isFull(full), (full as Error).message).to.equal(true)
        // What has its session goes on, and waits without another.
        const waiting = service.acquire('held', { timeout: '10s' })
        expect(await service.withLock('more', (lock) => lock.verify())).to.equal(true)
        const refused = await settlesWithin(SOON, 'an error', rejection(newcomer.acquire('held'), NamedLockError))
        expect(isFull(refused.cause), refused.message).to.equal(true)
        expect(refused.message).to.match(/too many (connections|clients)/i)
        await held.release()
        await (await settlesWithin(SOON, 'the waiter', waiting)).release()
        await Promise.all(crowd.map((client) => client.end()))
        const lock = await until('the newcomer to be let in', () => newcomer.acquire('held', { timeout: '1s' }))
        await Promise.all([lock.release(), runner.release()])
      })

      it('fails over in silence: the locks of the old one are lost by their lease, the new one gives them out', async function () {
        this.timeout(60_000)
        const proxy = await ctx.proxy()
        const dataSource = await ctx.dataSource({ port: proxy.port })
        const newPrimary = await sharedServer(ctx.kind)
        const admin = await SqlClient.connect(newPrimary)
        await admin.query(`CREATE DATABASE ${ctx.database}`)
        const service = await ctx.service({ lease: '1s' }, dataSource)
        const held = await Promise.all([service.acquire('a'), service.acquire('b', { session: 'dedicated' })])
        const waiting = [service.acquire('a', { timeout: '20s' }), service.acquire('b', { timeout: '20s' })]
        proxy.retarget(newPrimary)
        proxy.forget()
        const next = await settlesWithin(20_000, 'the waiters', Promise.all(waiting))
        for (const lock of held) {
          expect(lock.isHeld).to.equal(false)
          expect(lock.signal.reason).to.be.instanceOf(NamedLockLostError)
        }
        for (const lock of next) expect(await lock.verify()).to.equal(true)
        expect(await admin.userLocksOf(ctx.database), 'on the new primary').to.have.length.of.at.least(2)
        await Promise.all([...held, ...next].map((lock) => lock.release()))
        await service.close()
        await dataSource.destroy()
        await admin.dropDatabase(ctx.database)
        await admin.end()
      })

      it('is two servers behind one address: a configuration error that says so', async () => {
        const proxy = await ctx.proxy()
        const service = await ctx.service({}, await ctx.dataSource({ port: proxy.port }))
        const lock = await service.acquire('a')
        const other = await sharedServer(ctx.kind)
        const admin = await SqlClient.connect(other)
        await admin.query(`CREATE DATABASE ${ctx.database}`)
        proxy.retarget(other) // new connections only
        const error = (await reasonOf(service.acquire('b', { session: 'dedicated', timeout: '3s' }))) as NamedLockError
        expect(error.code).to.equal('CONFIGURATION')
        expect(error.message)
          .to.match(/several servers/)
          .and.match(/primary/)
        expect(await lock.verify()).to.equal(true)
        await lock.release()
        await service.close()
        await service.dataSource.destroy()
        await admin.dropDatabase(ctx.database)
        await admin.end()
      })

      it('kept what is promised, in the median', () => {
        recovery.expectKept()
      })
    },
    (kind) => (kind === 'postgres' ? ['-c', `max_connections=${CONNECTIONS}`] : [`--max-connections=${CONNECTIONS}`]),
  )
})
