import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { afterEach, describe, it } from 'mocha'
import { NamedLockLostError, WithNamedLock, type NamedLockService } from '../../src/index.js'
import { wallClock } from '../../src/util/clock.js'
import { forEachServer } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

/** Sets the date: forward, back and forward again, each time by more than any lease. */
const DAY = 86_400_000

class Jobs {
  constructor(readonly locks: NamedLockService) {}
  @WithNamedLock('job', '5s')
  async run(work: () => unknown): Promise<unknown> {
    return work()
  }
}

describe('a date that is set', () => {
  const realNow = wallClock.now
  let steps = 0
  const setForward = (): void => {
    const total = ++steps * DAY
    wallClock.now = () => realNow() + total
  }
  const setBack = (): void => {
    wallClock.now = () => realNow() - DAY
  }

  afterEach(() => {
    wallClock.now = realNow
    steps = 0
  })

  forEachServer((ctx) => {
    const watched = async (): Promise<[NamedLockService, string[]]> => {
      const locks = await ctx.service()
      const events: string[] = []
      locks.on('lost', () => events.push('lost'))
      locks.on('releaseFailed', () => events.push('releaseFailed'))
      return [locks, events]
    }

    it('forward while work runs fails no call, however the lock was taken', async () => {
      const [locks, events] = await watched()
      const calls: Record<string, (work: () => unknown) => Promise<unknown>> = {
        withLock: (work) => locks.withLock('a', work),
        dedicated: (work) => locks.withLock('a', { session: 'dedicated' }, work),
        several: (work) => locks.withLock(['a', 'b'], work),
        tryWithLock: async (work) => ((await locks.tryWithLock('a', work)) as { value: unknown }).value,
        transaction: (work) => locks.transaction('a', work),
        'nested transaction': (work) => locks.transaction('a', () => locks.transaction('a', { reentrant: true }, work)),
        'statement of the transaction': (work) =>
          locks.transaction('a', async (manager) => {
            const answer = manager.query(ctx.kind === 'postgres' ? 'SELECT pg_sleep(0.1)' : 'SELECT SLEEP(0.1)')
            await sleep(20)
            const value = work()
            await answer
            return value
          }),
        decorated: (work) => new Jobs(locks).run(work),
      }
      for (const [name, call] of Object.entries(calls)) {
        for (const set of [setForward, setBack, setForward]) {
          const work = (): string => {
            set()
            return name
          }
          expect(await settlesWithin(5_000, name, call(work)), name).to.equal(name)
        }
      }
      expect(events).to.deep.equal([])
    })

    it('forward is no loss for a handle: false while it is not certain, then true, with its token and its signal', async () => {
      const [locks, events] = await watched()
      for (const session of ['shared', 'dedicated'] as const) {
        const lock = await locks.acquire('a', { session })
        const token = await lock.fencingToken()
        setForward()
        expect(lock.isHeld).to.equal(false)
        expect((await lock.fencingToken()) > token).to.equal(true)
        expect(lock.isHeld).to.equal(true)
        setForward()
        expect(lock.isHeld).to.equal(false)
        await until('the answer of the server', () => lock.isHeld)
        expect(lock.signal.aborted).to.equal(false)
        setForward()
        await lock.release()
      }
      expect(events).to.deep.equal([])
      await until('the lock to be free', async () => !(await locks.isLocked('a')))
    })

    it('forward passes a lock on to the next caller of the process, and its work is certain of the lock', async () => {
      const [locks, events] = await watched()
      const order: string[] = []
      const one = locks.withLock('a', async () => {
        await until('the next to wait', async () => order.includes('waits'))
        setForward()
        order.push('one')
      })
      locks.once('waiting', () => order.push('waits'))
      const two = locks.withLock('a', async (lock) => {
        await until('certainty', () => lock.isHeld, { within: 2_000 })
        order.push('two')
      })
      await settlesWithin(5_000, 'both', Promise.all([one, two]))
      expect([order, events]).to.deep.equal([['waits', 'one', 'two'], []])
    })

    it('forward does not hide that the connection has died meanwhile', async () => {
      const [locks, events] = await watched()
      const proxy = await ctx.proxy()
      const cutOff = await ctx.service({}, await ctx.dataSource({ port: proxy.port }))
      const calls = {
        withLock: (work: () => Promise<void>) => cutOff.withLock('a', work),
        transaction: (work: () => Promise<void>) => cutOff.transaction('a', work),
      }
      for (const [name, call] of Object.entries(calls)) {
        const work = async (): Promise<void> => {
          proxy.blackHole()
          setForward()
          setTimeout(() => proxy.reset(), 100)
        }
        await rejection(settlesWithin(5_000, name, call(work)), NamedLockLostError)
        proxy.heal()
      }
      await locks.withLock('a', { timeout: '5s' }, async (lock) => expect(lock.isHeld).to.equal(true))
      expect(events).to.deep.equal([])
    })
  })
})
