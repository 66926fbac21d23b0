import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockError, NamedLockTimeoutError, type NamedLock, type NamedLockServiceOptions } from '../../src/index.js'
import { forEachServer } from '../support/conformance.js'
import { Figure } from '../support/figure.js'
import { clock } from '../support/fixtures/clock.js'
import { reasonOf, rejection } from '../support/rejection.js'
import { Scene } from '../support/scene.js'
import { sideBySide } from '../support/side-by-side.js'
import type { Direction } from '../support/tcp-proxy.js'
import { loginOf } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'

const LEASE = 1_500
/** What the service is given to recover on a busy machine: the promise is a second. */
const SOON = 6_000
const directions: readonly (Direction | 'both')[] = ['to server', 'to client', 'both']

const recovery = new Figure('the service again after the fault', 1_000)

describe('the network', function () {
  this.timeout(60_000)

  forEachServer((ctx) => {
    const set = (name: string, session: 'shared' | 'dedicated' = 'shared', options: NamedLockServiceOptions = {}) =>
      Scene.set(ctx, name, { lease: LEASE, ...options }, { session })

    it('swallows everything: nothing is lost within the lease, and after it the holder knows first', async function () {
      this.timeout(90_000)
      const forLessThanTheLease = async (direction: Direction | 'both', session: 'shared' | 'dedicated') => {
        const scene = await set(`short ${direction} ${session}`, session, { lease: '5s', keepAlive: '1s' })
        for (let i = 0; i < 2; i++) {
          scene.proxy.blackHole(direction)
          await sleep(1_200) // a heartbeat falls into it
          scene.proxy.heal()
          await sleep(800)
        }
        expect(scene.lock.isHeld).to.equal(true)
        expect(await scene.lock.verify()).to.equal(true)
        expect(scene.lostAt).to.equal(undefined)
        expect(scene.grantedAt).to.equal(undefined)
        await scene.lock.release()
        await scene.granted()
        recovery.add(await scene.recovers())
      }
      const forLonger = async (direction: Direction | 'both', session: 'shared' | 'dedicated') => {
        const scene = await set(`long ${direction} ${session}`, session)
        // More of the same process: one that holds, one that waits for that, one that waits for the other process.
        const other = await scene.service.acquire(`${scene.name} other`)
        const waiting = scene.service.acquire(other.name, { timeout: '30s' })
        const impatient = rejection(scene.service.acquire(other.name, { timeout: 700 }), NamedLockTimeoutError)
        const from = clock()
        scene.proxy.blackHole(direction)
        await impatient
        expect(clock() - from, 'a timeout in the dark').to.be.lessThan(700 + SOON)
        const verified = scene.lock.verify()
        await scene.granted()
        expect(scene.wasHeldAtGrant, 'the holder knew first').to.equal(false)
        expect(scene.grantedAt! - from).to.be.lessThan(LEASE + 2_000 + SOON)
        expect(await verified).to.equal(false)
        await until('the loss of the other lock', () => !other.isHeld, { within: LEASE + SOON })
        scene.proxy.heal()
        const healedAt = clock()
        const again = await settlesWithin(20_000, 'the waiter of the same process', waiting)
        // Its own lost connection may still hold the lock: the server ends that one with its lease, at the latest.
        expect(clock() - healedAt).to.be.lessThan(LEASE + 2_000 + SOON)
        expect(await again.verify()).to.equal(true)
        await Promise.all([again.release(), other.release()])
        recovery.add(await scene.recovers())
      }
      const aGrant = async (direction: Direction | 'both') => {
        const name = `grant ${direction}`
        const holder = await (await ctx.service()).acquire(name)
        const proxy = await ctx.proxy()
        const service = await ctx.service({ lease: LEASE }, await ctx.dataSource({ port: proxy.port }))
        const isWaiting = new Promise((resolve) => service.once('waiting', resolve))
        let got: NamedLock | undefined
        const inTheDark = service.acquire(name, { timeout: '30s' }).then((lock) => (got = lock))
        await isWaiting
        await sleep(100)
        proxy.blackHole(direction)
        await holder.release()
        const from = clock()
        const elsewhere = await (await ctx.service()).acquire(name, { timeout: '20s' })
        expect(clock() - from, 'for a grant without a caller').to.be.lessThan(LEASE + 2_000 + SOON)
        // The grant itself came through when only the way to the server was closed; then it was lost again.
        expect(got?.isHeld ?? false).to.equal(false)
        proxy.heal()
        await elsewhere.release()
        const last = got ? await service.acquire(name) : await settlesWithin(20_000, 'the one in the dark', inTheDark)
        expect(await last.verify()).to.equal(true)
        await last.release()
      }
      const cases: Record<string, () => Promise<void>> = {}
      for (const direction of directions) {
        for (const session of ['shared', 'dedicated'] as const) {
          cases[`less than the lease, ${direction}, ${session}`] = () => forLessThanTheLease(direction, session)
          cases[`longer, ${direction}, ${session}`] = () => forLonger(direction, session)
        }
        cases[`a grant, ${direction}`] = () => aGrant(direction)
      }
      await sideBySide(cases)
    })

    it('loses the port, and finds it again', async () => {
      const scene = await set('port')
      const from = clock()
      await scene.proxy.shut()
      expect((await scene.lost()) - from).to.be.lessThan(SOON)
      await scene.granted()
      const waiting = scene.service.acquire(`${scene.name} 2`).catch((error: unknown) => error)
      expect(await waiting, 'a newcomer gets the error').to.be.instanceOf(NamedLockError)
      await scene.proxy.open()
      recovery.add(await scene.recovers())
    })

    it("loses the server's name, and finds it again", async () => {
      const scene = await set('name')
      const login = loginOf(scene.dataSource)
      const { host } = login
      login.host = 'no-such-host.invalid'
      scene.proxy.reset()
      await scene.lost()
      await scene.granted()
      const error = (await reasonOf(scene.service.acquire(`${scene.name} 2`))) as NamedLockError
      expect(error).to.be.instanceOf(NamedLockError)
      expect((error.cause as { code?: string }).code).to.match(/^(ENOTFOUND|EAI_AGAIN)$/)
      login.host = host
      recovery.add(await scene.recovers())
    })

    it('kept what is promised, in the median', () => {
      recovery.expectKept()
    })
  })
})
