import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockTimeoutError, type NamedLockService } from '../../src/index.js'
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
