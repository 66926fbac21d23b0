import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockLostError } from '../../src/index.js'
import { forEachServer } from '../support/conformance.js'
import { Figure } from '../support/figure.js'
import { clock } from '../support/fixtures/clock.js'
import type { SeenLoss } from '../support/fixtures/hold-and-watch.js'
import { rejection } from '../support/rejection.js'
import { Scene } from '../support/scene.js'
import { sideBySide } from '../support/side-by-side.js'
import { settlesWithin, until } from '../support/until.js'
import { bootClock, wallClock } from '../../src/util/clock.js'

const SOON = 6_000

const takeOver = new Figure('the next grant after the death of a process', 2_000)
const recovery = new Figure('the service again after the fault', 1_000)

describe('a process', function () {
  this.timeout(60_000)

  forEachServer((ctx) => {
    const realNow = wallClock.now
    const realBoot = bootClock.now

    afterEach(() => {
      wallClock.now = realNow
      bootClock.now = realBoot
    })

    /** The monotonic clock of Linux stands still meanwhile. */
    function passInSleep(milliseconds: number): void {
      wallClock.now = () => realNow() + milliseconds
      bootClock.now = () => realBoot() + milliseconds
    }

    it('that is killed or stopped leaves its locks to others; that has its clock set back counts on', async function () {
      this.timeout(60_000)
      await sideBySide({ killed, stopped, 'set back': setBack })
    })

    async function killed() {
      const holder = ctx.startChild('hold-and-vanish.ts', { name: 'a' })
      await holder.next('held')
      const waiter = ctx.startChild('hold-and-vanish.ts', { name: 'a' })
      await until('the child to wait on the server', async () => {
        const locks = await ctx.outsider.userLocksOf(ctx.database)
        return locks.some(({ status }) => status === 'PENDING')
      })
      const locks = await ctx.service()
      const mine = locks.acquire('a', { timeout: '20s' }).then((lock) => ({ lock, at: clock() }))
      await waiter.kill()
      const killedAt = clock()
      await holder.kill()
      const { lock, at } = await mine
      takeOver.add(at - killedAt)
      await lock.release()
    }

    async function stopped() {
      const locks = [{ name: 'short stop', lease: 4_000 }]
      const child = ctx.startChild('hold-and-watch.ts', { name: 'short stop', locks })
      child.expectExit(0)
      await child.next('held')
      const mine = (await ctx.service()).acquire('short stop', { timeout: '30s' })
      child.stop()
      await sleep(1_200)
      child.cont()
      await sleep(300)
      expect(child.messages.map(({ type }) => type)).to.deep.equal(['held'])
      expect(await Promise.race([mine, sleep(1)])).to.equal(undefined)
      child.stop()
      const lock = await mine
      const grantedAt = clock()
      child.cont()
      const { losses } = (await child.next('lost')) as unknown as { losses: SeenLoss[] }
      expect(losses[0]!.lastHeldAt).to.be.lessThan(grantedAt)
      child.send({ type: 'exit' })
      await Promise.all([child.exited, lock.release()])
    }

    async function setBack() {
      const scene = await Scene.set(ctx, 'set back', { lease: '2s' })
      wallClock.now = () => realNow() - 3_600_000
      await sleep(2_500) // more than the lease
      expect(scene.lock.isHeld).to.equal(true)
      const from = clock()
      scene.proxy.blackHole()
      await scene.granted()
      expect(scene.wasHeldAtGrant, 'the holder knew first').to.equal(false)
      expect(scene.lostAt! - from).to.be.lessThan(2_000 + SOON)
      scene.proxy.heal()
      await scene.recovers()
    }

    it('on a machine that was suspended for longer than the lease has lost its locks, before it does anything else', async () => {
      const scene = await Scene.set(ctx, 'asleep', { lease: '60s' })
      passInSleep(59_000)
      expect(scene.lock.isHeld, 'less than the lease').to.equal(true)
      passInSleep(61_000)
      expect(scene.lock.isHeld).to.equal(false)
      expect(scene.lock.signal.reason).to.be.instanceOf(NamedLockLostError)
      expect(scene.lostAt).to.be.a('number')
      await scene.granted()
      // It goes on from there.
      recovery.add(await scene.recovers())
    })

    it('that was asleep and frozen in turns adds both up', async () => {
      const scene = await Scene.set(ctx, 'asleep and frozen', { lease: '6s' })
      scene.proxy.blackHole()
      await sleep(1_200)
      passInSleep(2_000)
      expect(scene.lock.isHeld).to.equal(true)
      passInSleep(5_000) // 6.2 s and more have really passed
      expect(scene.lock.isHeld).to.equal(false)
      expect(scene.lock.signal.aborted, 'lost, not in doubt').to.equal(true)
      wallClock.now = realNow
      bootClock.now = realBoot
      scene.proxy.heal()
      await scene.granted()
      await scene.recovers()
    })

    it('with a clock that is set forward is in doubt until the server has answered, and loses nothing', async () => {
      const scene = await Scene.set(ctx, 'set forward', { lease: '60s' })
      for (const step of [61_000, 86_400_000, 365 * 86_400_000]) {
        wallClock.now = () => realNow() + step
        expect(scene.lock.isHeld, 'nothing is certain yet').to.equal(false)
        expect(scene.lock.signal.aborted).to.equal(false)
        await until('the answer of the server', () => scene.lock.isHeld)
        expect(await scene.lock.verify()).to.equal(true)
      }
      wallClock.now = () => realNow() + 800 * 86_400_000
      expect(await scene.lock.verify(), 'a question of the holder is as good').to.equal(true)
      expect(scene.lock.isHeld).to.equal(true)
      expect(scene.lostAt).to.equal(undefined)
      wallClock.now = realNow
      await scene.lock.release()
      await scene.granted()
      await scene.recovers()
    })

    it('on a virtual machine that stood still, with all of its clocks, knows it when the date is set', async () => {
      const scene = await Scene.set(ctx, 'stood still', { lease: '60s' })
      scene.proxy.blackHole() // the server has long given up on it, and nothing tells
      wallClock.now = () => realNow() + 3_600_000
      expect(scene.lock.isHeld).to.equal(false)
      await sleep(200)
      expect(scene.lock.isHeld, 'for as long as nothing is certain').to.equal(false)
      expect(scene.lock.signal.aborted).to.equal(false)
      scene.proxy.reset()
      await until('the loss', () => scene.lock.signal.aborted)
      expect(scene.lock.signal.reason).to.be.instanceOf(NamedLockLostError)
      wallClock.now = realNow
      scene.proxy.heal()
      await scene.granted()
      await scene.recovers()
    })

    it('that destroys its DataSource has lost its locks, and waits no more', async () => {
      const scene = await Scene.set(ctx, 'destroyed', { lease: '30s' })
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      const work = rejection(
        scene.service.withLock('own', (lock) => until('the loss', () => !lock.isHeld)),
        NamedLockLostError,
      )
      const waiting = rejection(scene.service.acquire('foreign', { timeout: '20s' }))
      await until('a wait on the server', async () => {
        const locks = await ctx.outsider.userLocksOf(ctx.database)
        return locks.some(({ key, status }) => key === foreign && status === 'PENDING')
      })
      const from = clock()
      await scene.dataSource.destroy()
      expect(clock() - from, 'destroy() does not wait for the slice of 10 s').to.be.lessThan(SOON)
      await scene.lost()
      await scene.granted()
      await work
      expect((await settlesWithin(SOON, 'the waiter', waiting)).message).to.match(/initialised/)
      await ctx.outsider.releaseLock(foreign)
      await scene.dataSource.initialize()
      recovery.add(await scene.recovers())
    })

    it('kept what is promised, in the median', () => {
      takeOver.expectKept()
      recovery.expectKept()
    })
  })
})
