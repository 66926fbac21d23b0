import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockLostError, type NamedLock } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { Figure } from '../support/figure.js'
import { clock } from '../support/fixtures/clock.js'
import { reasonOf } from '../support/rejection.js'
import { Scene } from '../support/scene.js'
import { sideBySide } from '../support/side-by-side.js'
import { loginOf } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'

/** What a fault is given to recover from, on a busy machine: the promise is a second. */
const SOON = 6_000

const signal = new Figure('the signal after a KILL', 50)
const recovery = new Figure('the service again after the fault', 1_000)

describe('a connection', function () {
  this.timeout(60_000)

  forEachDialect((ctx) => {
    async function kill(scene: Scene): Promise<number> {
      const at = clock()
      await ctx.outsider.kill((await ctx.outsider.holderOf(scene.lock.key))!)
      return at
    }

    for (const session of ['shared', 'dedicated'] as const) {
      it(`that is killed tells its holder within milliseconds, and a waiter has the lock (${session})`, async () => {
        for (let i = 0; i < 5; i++) {
          const scene = await Scene.set(ctx, `killed ${session} ${i}`, { lease: '30s' }, { session })
          const killedAt = await kill(scene)
          signal.add((await scene.lost()) - killedAt)
          await scene.granted()
          expect(scene.grantedAt! - killedAt).to.be.lessThan(SOON)
          recovery.add(await scene.recovers())
        }
      })
    }

    it('that is reset tells its holder at once; the server lets go', async () => {
      const scene = await Scene.set(ctx, 'reset', { lease: '30s' })
      const resetAt = clock()
      scene.proxy.reset()
      expect((await scene.lost()) - resetAt).to.be.lessThan(SOON)
      await scene.granted()
      expect(scene.grantedAt! - resetAt).to.be.lessThan(SOON)
      recovery.add(await scene.recovers())
    })

    it('is lost on both ends, or on none, when it falls silent or slow', async function () {
      this.timeout(90_000)
      await sideBySide({
        'one that the network has forgotten is lost by its lease, on both ends': async () => {
          const scene = await Scene.set(ctx, 'half-open')
          const forgottenAt = clock()
          scene.proxy.forget()
          await scene.granted()
          expect(scene.wasHeldAtGrant, 'the holder knew first').to.equal(false)
          expect(scene.grantedAt! - forgottenAt).to.be.lessThan(1_000 + 2_000 + SOON)
          expect(scene.lock.signal.reason).to.be.instanceOf(NamedLockLostError)
          recovery.add(await scene.recovers())
        },

        'one that the network has forgotten keeps no caller from getting another one': async () => {
          const proxy = await ctx.proxy()
          const dataSource = await ctx.dataSource({ port: proxy.port, poolSize: 4 })
          const runners = Array.from({ length: 4 }, () => dataSource.createQueryRunner())
          await Promise.all(runners.map((runner) => runner.connect()))
          await Promise.all(runners.map((runner) => runner.release()))
          proxy.forget() // every connection of the pool is dead, and does not know
          const service = await ctx.service({}, dataSource)
          const lock = await service.acquire('a', { timeout: '10s' })
          expect(await lock.verify()).to.equal(true)
          await lock.release()
        },

        'one that swallows a statement of the work ends it, and the transaction': async () => {
          const proxy = await ctx.proxy()
          const service = await ctx.service({ lease: '1s' }, await ctx.dataSource({ port: proxy.port }))
          let statement: Promise<unknown> | undefined
          const from = clock()
          const transaction = reasonOf(
            service.transaction('swallowed', async (manager) => {
              proxy.forget()
              statement = reasonOf(manager.query('SELECT 1'))
              await statement
            }),
          )
          expect(await settlesWithin(20_000, 'the transaction', transaction)).to.be.instanceOf(Error)
          expect(await statement).to.be.instanceOf(Error)
          expect(clock() - from).to.be.lessThan(1_000 + 2_000 + SOON)
        },

        'one that only the client sees ended is lost at once; the waiter has the lock when the lease is over':
          async () => {
            const scene = await Scene.set(ctx, 'half-closed client')
            const closedAt = clock()
            scene.proxy.halfClose('client')
            await scene.lost()
            expect(String(scene.lock.signal.reason), 'at once').not.to.match(/lease ran out/)
            await scene.granted()
            expect(scene.grantedAt! - closedAt).to.be.lessThan(1_000 + 2_000 + SOON)
            recovery.add(await scene.recovers())
          },

        'one that only the server sees ended is lost by its lease, though the server lets go before: not promised':
          async () => {
            const scene = await Scene.set(ctx, 'half-closed server')
            const closedAt = clock()
            scene.proxy.halfClose('server')
            await scene.granted()
            await scene.lost()
            expect(scene.lostAt! - closedAt).to.be.lessThan(1_000 + SOON)
            recovery.add(await scene.recovers())
          },

        'one that the server ends for its idleness is lost at once': async () => {
          const scene = await Scene.set(ctx, 'wait_timeout', { lease: '30s' }, { session: 'dedicated' })
          const { manager } = scene.lock as unknown as { manager: { query(sql: string): Promise<unknown> } }
          await manager.query(ctx.sql('SET SESSION wait_timeout = 1', 'SET idle_session_timeout = 1000')) // before the first heartbeat is due
          await scene.granted()
          await scene.lost()
          expect(scene.lostAt! - scene.grantedAt!, 'the signal after the grant').to.be.lessThan(SOON)
          recovery.add(await scene.recovers())
        },

        'one that is slow keeps its locks while its answers come within the lease': async () => {
          const scene = await Scene.set(ctx, 'slow', { lease: 2_500 })
          scene.proxy.delay(150)
          await sleep(3_500) // more than the lease on either end
          expect(scene.lock.isHeld).to.equal(true)
          expect(await scene.lock.verify()).to.equal(true)
          expect(scene.grantedAt).to.equal(undefined)
          await scene.lock.release()
          await scene.granted()
          expect(await scene.recovers()).to.be.lessThan(SOON + 2_000)
        },

        'one that takes longer than the lease to answer has lost its locks': async () => {
          const scene = await Scene.set(ctx, 'too slow')
          scene.proxy.delay(1_500)
          await scene.granted()
          expect(scene.wasHeldAtGrant, 'the holder knew first').to.equal(false)
          scene.proxy.delay(0)
          await scene.recovers()
        },
      })
    })

    it('that waits and is killed is replaced, and the wait goes on', async () => {
      const scene = await Scene.set(ctx, 'waiting', { lease: '30s' })
      for (let i = 0; i < 3; i++) {
        const { connectionId } = await until('a waiter on the server', async () => {
          const locks = await ctx.outsider.userLocksOf(ctx.database)
          return locks.find(({ status }) => status === 'PENDING')
        })
        await ctx.outsider.kill(connectionId)
        await until('it is gone', async () => {
          const connections = await ctx.outsider.connectionsOf(ctx.database)
          return connections.every(({ id }) => id !== connectionId)
        })
      }
      const releasedAt = clock()
      await scene.lock.release()
      await scene.granted()
      expect(scene.grantedAt! - releasedAt).to.be.lessThan(SOON)
      expect(scene.lostAt).to.equal(undefined)
      recovery.add(await scene.recovers())
    })

    it('that may not cancel a wait lets its slice run out', async () => {
      // The pool logs in as one user for the shared session, and as another one for the waiting session.
      for (const user of ['killer', 'waiter'].map((name) => `${ctx.database}_${name}`)) {
        await ctx.createUser(user, 'secret')
      }
      const dataSource = await ctx.dataSource({ username: `${ctx.database}_killer`, password: 'secret' })
      const service = await ctx.service({ lease: '9s' }, dataSource)
      await (await service.acquire('mine')).release()
      loginOf(dataSource).user = `${ctx.database}_waiter`
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      const controller = ctx.abortController()
      const waiting = reasonOf(service.acquire('foreign', { signal: controller.signal }))
      const { connectionId } = await until('a waiter on the server', async () => {
        const locks = await ctx.outsider.userLocksOf(ctx.database)
        return locks.find(({ status }) => status === 'PENDING')
      })
      const abortedAt = clock()
      controller.abort(new Error('enough'))
      expect(await waiting).to.have.property('message', 'enough')
      expect(clock() - abortedAt, 'before the slice was over').to.be.lessThan(2_500)
      // The wait is granted without a caller, and the lock is released.
      await ctx.outsider.releaseLock(foreign)
      const stranger = await ctx.connectOutsider()
      expect(await stranger.getLock(foreign, 15)).to.equal(true)
      expect(clock() - abortedAt, 'a slice is a third of the lease').to.be.lessThan(3_000 + SOON)
      expect((await ctx.outsider.connectionsOf(ctx.database)).map(({ id }) => id)).to.include(connectionId)
      await (await service.acquire('mine')).release()
      for (const name of ['killer', 'waiter']) await ctx.dropUser(`${ctx.database}_${name}`)
    })

    for (const killed of ['its statements are', 'it is itself'] as const) {
      it(`of hundreds of callers goes on when ${killed} killed again and again`, async () => {
        const service = await ctx.service({ timeout: '20s' })
        const inside = new Map<string, Set<NamedLock>>()
        let isOver = false
        let calls = 0
        const losses: unknown[] = []
        const work = async (lock: NamedLock) => {
          const here = inside.get(lock.name) ?? new Set()
          inside.set(lock.name, here.add(lock))
          await sleep(Math.random() * 3)
          const believers = [...here].filter(({ isHeld }) => isHeld)
          here.delete(lock)
          if (believers.length > 1) throw new Error(`${believers.length} held ${lock.name}`)
        }
        const callers = Array.from({ length: 200 }, async (_, i) => {
          for (; !isOver; calls++) {
            const loss = await service.withLock(`n${i % 60}`, work).catch((error: unknown) => error)
            if (loss) losses.push(loss)
          }
        })
        for (let i = 0; i < 15; i++) {
          await sleep(20 + Math.random() * 20)
          for (const { id } of await ctx.outsider.connectionsOf(ctx.database)) {
            const how = killed === 'it is itself' ? 'kill' : 'cancel'
            await ctx.outsider[how](id).catch(() => undefined) // it may have gone
          }
        }
        await until('many calls', () => calls > 300, { within: 30_000 })
        isOver = true
        await Promise.all(callers)
        for (const loss of losses) expect(loss).to.be.instanceOf(NamedLockLostError)
        if (killed !== 'it is itself') expect(losses).to.deep.equal([])
      })
    }

    it('kept what is promised, in the median', () => {
      signal.expectKept()
      recovery.expectKept()
    })
  })
})
