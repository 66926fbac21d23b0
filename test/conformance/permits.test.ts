import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  NamedLock,
  NamedLockClosedError,
  NamedLockReentrancyError,
  NamedLockTimeoutError,
  WithNamedLock,
  type NamedLockService,
} from '../../src/index.js'
import { THIS_PROCESS } from '../../src/inspect/lock-notes.js'
import { partBase, postgresPermitKey } from '../../src/names/part-keys.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'

/** Counts the holders inside at each moment. */
class Room {
  inside = 0
  most = 0
  entries = 0
  readonly taken = new Set<number>()
  readonly wrong: string[] = []

  async stay(permit: number | undefined, ms: number): Promise<void> {
    if (permit === undefined || this.taken.has(permit)) this.wrong.push(`permit ${permit} twice`)
    this.taken.add(permit as number)
    this.entries++
    this.most = Math.max(this.most, ++this.inside)
    await sleep(ms)
    this.inside--
    this.taken.delete(permit as number)
  }
}

describe('permits', () => {
  forEachDialectAndTypeorm((ctx) => {
    it('let so many callers in at a time, and no more', async () => {
      const [one, two] = [await ctx.service(), await ctx.service({ connections: 'own' })]
      const room = new Room()
      const call = (locks: NamedLockService): Promise<void> =>
        locks.withLock('a', { permits: 3, timeout: '20s' }, (lock) => room.stay(lock.permit, 5))
      await Promise.all(Array.from({ length: 40 }, (_, i) => call(i % 2 ? one : two)))
      expect(room.wrong).to.deep.equal([])
      expect(room).to.include({ most: 3, entries: 40, inside: 0 })
    })

    it('are granted in the order of the calls, and time out', async () => {
      const locks = await ctx.service()
      const held = [await locks.acquire('a', { permits: 2 }), await locks.acquire('a', { permits: 2 })]
      expect(held.map(({ permit }) => permit).sort()).to.deep.equal([0, 1])
      expect(await locks.tryAcquire('a', { permits: 2 })).to.equal(null)
      const error = await rejection(locks.acquire('a', { permits: 2, timeout: 50 }))
      expect(error).to.be.instanceOf(NamedLockTimeoutError)
      const third = await locks.tryAcquire('a', { permits: 3 })
      expect(third?.permit).to.equal(2)
      const order: number[] = []
      const waits = [0, 1, 2].map((i) => locks.withLock('a', { permits: 2 }, () => void order.push(i)))
      await held[1]?.release()
      await Promise.all(waits)
      expect(order).to.deep.equal([0, 1, 2])
      await Promise.all([held[0]?.release(), third?.release()])
    })

    it('serve as many callers at a time as there are', async () => {
      const locks = await ctx.service()
      const time = async (permits: number): Promise<number> => {
        const from = performance.now()
        await Promise.all(Array.from({ length: 20 }, () => locks.withLock('a', { permits }, () => sleep(20))))
        return performance.now() - from
      }
      await locks.withLock('warm', { permits: 2 }, async () => {})
      const one = await time(1)
      expect(await time(5)).to.be.lessThan(one / 2.5)
    })

    it('are numbered, and each is a lock with a key of its own', async () => {
      const locks = await ctx.service()
      const all = await Promise.all([1, 2, 3].map(() => locks.acquire('a', { permits: 3 })))
      expect(all.map(({ permit }) => permit).sort()).to.deep.equal([0, 1, 2])
      expect(new Set(all.map(({ key }) => key)).size).to.equal(3)
      for (const lock of all) {
        const permitKey = (namespace: string | false) =>
          ctx.isPostgres
            ? String(postgresPermitKey(namespace, 'a', lock.permit as number))
            : `${partBase(namespace, 'a')}~p${lock.permit}`
        expect([permitKey(ctx.database), permitKey(false)]).to.include(lock.key)
        expect(await lock.verify()).to.equal(true)
        expect(await lock.fencingToken()).to.be.a('bigint')
        await lock.release()
        expect(await lock.verify()).to.equal(false)
      }
      // A lock that is no permit has no number, and is another lock.
      const plain = await locks.acquire('a')
      expect(plain.permit).to.equal(undefined)
      await locks.withLock('a', { permits: 1, timeout: 0 }, (lock) => expect(lock.permit).to.equal(0))
      await plain.release()
    })

    it('may be used with different numbers: each caller sees those below its own', async () => {
      const locks = await ctx.service()
      const five = await Promise.all(Array.from({ length: 5 }, () => locks.acquire('a', { permits: 5 })))
      expect(await locks.tryAcquire('a', { permits: 1 })).to.equal(null)
      const sixth = await locks.acquire('a', { permits: 6, timeout: 0 })
      expect(sixth.permit).to.equal(5)
      expect(await locks.tryAcquire('a', { permits: 6 })).to.equal(null)
      // The first in the queue may use the first permit only: it is passed over by permits that it cannot use.
      const order: string[] = []
      const wait = (what: string, permits: number) =>
        locks.withLock('a', { permits }, (lock) => void order.push(`${what} ${lock.permit}`))
      const waits = [wait('one', 1), wait('five', 5)]
      await five.find(({ permit }) => permit === 3)?.release()
      await waits[1]
      expect(order).to.deep.equal(['five 3'])
      await five.find(({ permit }) => permit === 0)?.release()
      await waits[0]
      expect(order).to.deep.equal(['five 3', 'one 0'])
      await Promise.all([sixth, ...five].map((lock) => lock.release()))
    })

    it('know re-entrance, and are counted where it is allowed', async () => {
      const locks = await ctx.service()
      await locks.withLock('a', { permits: 3 }, async (outer) => {
        const error = await rejection(locks.withLock('a', { permits: 3 }, () => expect.fail('the work ran')))
        expect(error).to.be.instanceOf(NamedLockReentrancyError)
        await locks.withLock('a', { permits: 3, reentrant: true }, (inner) => {
          expect(inner.permit).to.equal(outer.permit)
        })
        expect(outer.isHeld).to.equal(true)
        expect(NamedLock.current('a')?.permit).to.equal(outer.permit)
        // The name itself is another lock.
        await locks.withLock('a', { timeout: 0 }, (lock) => expect(lock.permit).to.equal(undefined))
      })
      expect(await locks.isLocked('a', { permits: 1 })).to.equal(false)
    })

    it('do not let a scope count as a caller with fewer permits than its permit needs', async () => {
      const locks = await ctx.service()
      const first = await locks.acquire('a', { permits: 1 })
      const calls = {
        withLock: (permits: number, work: () => Promise<unknown>) =>
          locks.withLock('a', { permits, reentrant: true }, work),
        transaction: (permits: number, work: () => Promise<unknown>) =>
          locks.transaction('a', { permits, reentrant: true }, work),
      }
      for (const call of Object.values(calls)) {
        await call(3, async () => {
          // Another caller with one permit has it: there cannot be two.
          const error = await rejection(
            call(1, async () => expect.fail('the work ran')),
            NamedLockReentrancyError,
          )
          expect(error.message).to.match(/holds permit [12] of 'a', which a call with permits: 1 may not hold/)
          await call(3, async () => {})
          await call(9, async () => {})
        })
      }
      await first.release()
      await calls.withLock(1, () => calls.withLock(1, async () => {}))
    })

    it('come to callers with connections of their own past one that may use fewer', async () => {
      const [locks, other] = [await ctx.service(), await ctx.service({}, await ctx.dataSource())]
      for (const holder of [locks, other]) {
        const first = await holder.acquire('a', { permits: 1 })
        const waiting = locks.acquire('a', { permits: 1, session: 'dedicated', timeout: '20s' })
        const [second, third] = await Promise.all([
          locks.acquire('a', { permits: 3, session: 'dedicated' }),
          locks.transaction('a', { permits: 3 }, async (_manager, lock) => lock.permit),
        ])
        expect([1, 2]).to.include(second.permit)
        expect([1, 2]).to.include(third)
        const last = await locks.tryAcquire('a', { permits: 3, session: 'dedicated' })
        expect(last?.permit).to.equal(3 - (second.permit as number))
        expect(await locks.tryAcquire('a', { permits: 3, session: 'dedicated' })).to.equal(null)
        await first.release()
        expect((await waiting).permit).to.equal(0)
        for (const lock of [second, last, await waiting]) await lock?.release()
      }
    })

    it('come to callers that do not wait, whatever connections they ask on, as long as there are any', async () => {
      const locks = await ctx.service()
      for (let i = 0; i < 5; i++) {
        const [one, two, three] = await Promise.all([
          locks.tryAcquire('a', { permits: 4 }),
          locks.tryAcquire('a', { permits: 4, session: 'dedicated' }),
          locks.transaction('a', { permits: 4, timeout: 0 }, async (_manager, lock) => lock.permit),
        ])
        expect(new Set([one?.permit, two?.permit, three]).has(undefined)).to.equal(false)
        await Promise.all([one?.release(), two?.release()])
      }
    })

    it('are those of the name in its namespace, whatever other services of the DataSource have', async () => {
      const dataSource = await ctx.dataSource()
      const namespace = `${ctx.database}_n`
      const whole = await ctx.service({ namespace: false }, dataSource)
      const inside = await ctx.service({ namespace }, dataSource)
      const elsewhere = await ctx.service({ namespace }, await ctx.dataSource())
      const full = `${namespace}.a`
      const outer = await whole.acquire(full, { permits: 1 })
      expect(outer.name).to.equal(full)
      // Where keys are texts, the two have the same.
      const lock = await inside.tryAcquire('a', { permits: 1 })
      const other = await elsewhere.tryAcquire('a', { permits: 1 })
      expect([lock !== null, other]).to.deep.equal([ctx.isPostgres, null])
      await lock?.release()
      await inside.withLock('a', { permits: 2, timeout: 0 }, (held) => {
        expect(held.name).to.equal('a')
        expect(NamedLock.current('a')?.permit).to.equal(held.permit)
      })
      const waiting = inside.acquire('a', { permits: 1, timeout: '10s' })
      await sleep(30)
      await outer.release()
      const next = await waiting
      expect(next.name).to.equal('a')
      expect(await elsewhere.tryAcquire('a', { permits: 1 })).to.equal(null)
      await next.release()
    })

    it('are given back by callers that leave while they wait', async () => {
      const locks = await ctx.service()
      const held = await locks.acquire('a', { permits: 1 })
      const controller = new AbortController()
      const waits = [
        rejection(locks.acquire('a', { permits: 1, signal: controller.signal })),
        rejection(locks.acquire('a', { permits: 1, timeout: 30 })),
        rejection(locks.transaction('a', { permits: 1, timeout: 30 }, () => expect.fail('the work ran'))),
      ]
      await sleep(10)
      controller.abort(new Error('enough'))
      expect((await waits[0])?.message).to.equal('enough')
      await Promise.all(waits)
      await held.release()
      await locks.withLock('a', { permits: 1, timeout: 0 }, () => {})
    })

    it('are seen by isLocked, holder and list', async () => {
      const locks = await ctx.service()
      expect(await locks.isLocked('a', { permits: 2 })).to.equal(false)
      expect(await locks.holder('a', { permits: 2 })).to.equal(null)
      const held: NamedLock<unknown>[] = [await locks.acquire('a', { permits: 2 })]
      expect(await locks.isLocked('a', { permits: 2 })).to.equal(false)
      expect(await locks.holder('a', { permits: 2 })).to.include({ permit: held[0]?.permit, process: THIS_PROCESS })
      held.push(await locks.acquire('a', { permits: 2, session: 'dedicated' }))
      expect(await locks.isLocked('a', { permits: 2 })).to.equal(true)
      expect(await locks.isLocked('a', { permits: 3 })).to.equal(false)
      expect(await locks.isLocked('a')).to.equal(false)
      const waiting = locks.acquire('a', { permits: 2 })
      const list = (await locks.list()).filter(({ name }) => name === 'a')
      expect(list.map(({ permit }) => permit)).to.have.members([0, 1])
      expect(list.map(({ holder }) => holder.permit)).to.deep.equal(list.map(({ permit }) => permit))
      for (const { holder } of list) expect(holder).to.include({ process: THIS_PROCESS }).and.have.property('since')
      const elsewhere = await (await ctx.service({}, await ctx.dataSource())).holder('a', { permits: 2 })
      expect(list.find(({ permit }) => permit === elsewhere?.permit)?.holder.connectionId).to.equal(
        elsewhere?.connectionId,
      )
      expect(list.map(({ key }) => key)).to.have.members(held.map(({ key }) => key))
      expect(list.flatMap(({ waiters }) => waiters)).to.have.length(1)
      expect((await locks.list({ waiting: true })).map(({ permit }) => permit)).to.deep.equal([0])
      expect(await locks.list({ prefix: 'b' })).to.deep.equal([])
      await Promise.all(held.map((lock) => lock.release()))
      await (await waiting).release()
    })

    it('are lost one by one with their sessions, and go to waiters', async () => {
      const locks = await ctx.service()
      const one = await locks.acquire('a', { permits: 2, session: 'dedicated' })
      const two = await locks.acquire('a', { permits: 2 })
      const waiting = locks.acquire('a', { permits: 2 })
      const holders = (await locks.list()).filter(({ name }) => name === 'a')
      await ctx.outsider.kill(holders.find(({ permit }) => permit === one.permit)?.holder.connectionId as string)
      const next = await waiting
      expect(next.permit).to.equal(one.permit)
      expect(one.isHeld).to.equal(false)
      expect(two.isHeld).to.equal(true)
      await Promise.all([one, two, next].map((lock) => lock.release()))
    })

    it('end with the service: callers that wait are rejected', async () => {
      const locks = await ctx.service()
      const held = await locks.acquire('a', { permits: 1 })
      const waits = [
        rejection(locks.acquire('a', { permits: 1 })),
        rejection(locks.transaction('a', { permits: 1 }, () => expect.fail('the work ran'))),
      ]
      await locks.close()
      for (const wait of waits) expect(await wait).to.be.instanceOf(NamedLockClosedError)
      expect(held.isHeld).to.equal(false)
    })

    it('emit the events of a lock, with the key of the permit', async () => {
      const locks = await ctx.service()
      const seen: string[] = []
      for (const event of ['waiting', 'acquired', 'released', 'timedOut'] as const)
        locks.on(event, ({ name, key }) => void seen.push(`${event} ${name} ${key}`))
      const held = await locks.acquire('a', { permits: 1 })
      const waiting = locks.acquire('a', { permits: 1 })
      await rejection(locks.acquire('a', { permits: 1, timeout: 20 }))
      await held.release()
      await (await waiting).release()
      const events = ['acquired', 'acquired', 'released', 'released', 'timedOut', 'waiting', 'waiting']
      expect(seen.sort()).to.deep.equal(events.map((event) => `${event} a ${held.key}`))
    })

    it('bound the calls of a decorated method', async () => {
      const locks = await ctx.service()
      const room = new Room()
      class Geocoder {
        readonly locks = locks

        @WithNamedLock('geocoder', '20s', { permits: 2 })
        locate(): Promise<void> {
          return room.stay(NamedLock.current()?.permit, 5)
        }
      }
      const geocoder = new Geocoder()
      await Promise.all(Array.from({ length: 8 }, () => geocoder.locate()))
      expect(room.wrong).to.deep.equal([])
      expect(room).to.include({ most: 2, entries: 8 })
    })

    it('let a decorated method skip the calls that get none, and are held for the minimum time', async () => {
      const locks = await ctx.service()
      class Geocoder {
        readonly locks = locks

        @WithNamedLock('geocoder', 0, { permits: 2, onBusy: 'skip', holdAtLeast: 200 })
        async locate(): Promise<number | undefined> {
          return NamedLock.current()?.permit
        }
      }
      const geocoder = new Geocoder()
      const from = performance.now()
      const results = await Promise.all(Array.from({ length: 5 }, () => geocoder.locate()))
      expect(performance.now() - from).to.be.at.least(199)
      expect(results.filter((permit) => permit !== undefined).sort()).to.deep.equal([0, 1])
    })

    it('work on connections of their own and in transactions', async () => {
      const locks = await ctx.service()
      const room = new Room()
      await Promise.all([
        ...Array.from({ length: 6 }, () =>
          locks.transaction('a', { permits: 2 }, (_manager, lock) => room.stay(lock.permit, 5)),
        ),
        ...Array.from({ length: 6 }, () =>
          locks.withLock('a', { permits: 2, session: 'dedicated' }, (lock) => room.stay(lock.permit, 5)),
        ),
        ...Array.from({ length: 6 }, () => locks.withLock('a', { permits: 2 }, (lock) => room.stay(lock.permit, 5))),
      ])
      expect(room.wrong).to.deep.equal([])
      expect(room).to.include({ most: 2, entries: 18, inside: 0 })
    })
  })
})
