import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  NamedLockDeadlockError,
  NamedLockLostError,
  NamedLockReentrancyError,
  NamedLockTimeoutError,
  WithNamedLock,
  type NamedLockService,
} from '../../src/index.js'
import { forEachDialectAndMemory } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

const mode = 'read'
const write = { mode: 'write' } as const

/** The holders inside at each moment, and whether a forbidden combination ever occurred. */
class Room {
  readers = 0
  writers = 0
  mostReaders = 0
  readonly wrong: string[] = []

  async read(ms: number): Promise<void> {
    this.mostReaders = Math.max(this.mostReaders, ++this.readers)
    if (this.writers > 0) this.wrong.push('a reader beside a writer')
    await sleep(ms)
    this.readers--
  }

  async write(ms: number): Promise<void> {
    this.writers++
    if (this.writers > 1 || this.readers > 0) this.wrong.push('a writer beside another holder')
    await sleep(ms)
    if (this.writers > 1 || this.readers > 0) this.wrong.push('a holder beside a writer')
    this.writers--
  }
}

describe('readers and writers', () => {
  forEachDialectAndMemory((ctx) => {
    /** Every kind of call, as a function that runs work under the lock. */
    type Way = (locks: NamedLockService, isReader: boolean, work: () => Promise<void>) => Promise<unknown>
    const ways: Record<string, Way> = {
      withLock: (locks, isReader, work) =>
        locks.withLock('a', { mode: isReader ? 'read' : 'write', timeout: '20s' }, work),
      dedicated: (locks, isReader, work) =>
        locks.withLock('a', { mode: isReader ? 'read' : 'write', timeout: '20s', session: 'dedicated' }, work),
      transaction: (locks, isReader, work) =>
        locks.transaction('a', { mode: isReader ? 'read' : 'write', timeout: '20s' }, work),
      lockTransaction: (locks, isReader, work) =>
        locks.dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, 'a', { mode: isReader ? 'read' : 'write', timeout: '20s' })
          await work()
        }),
    }

    /** Starts overlapping readers one after the other until it is stopped. */
    function stream(way: Way, locks: NamedLockService, callers: number, isReader = true, ms = 20) {
      let stopped = false
      let turns = 0
      const ended = Promise.all(
        Array.from({ length: callers }, async (_, i) => {
          await sleep(i * 7)
          while (!stopped) {
            await way(locks, isReader, () => sleep(ms * (0.5 + Math.random())))
            turns++
          }
        }),
      )
      const stop = (): Promise<unknown> => {
        stopped = true
        return settlesWithin(30_000, 'the stream', ended)
      }
      return {
        stop,
        get turns() {
          return turns
        },
      }
    }

    for (const [name, way] of Object.entries(ways)) {
      it(`lets readers in together, of one process and of several (${name})`, async () => {
        const services = [await ctx.service(), await ctx.service()]
        let inside = 0
        const all = services.flatMap((locks) =>
          [1, 2].map(() =>
            way(locks, true, async () => {
              inside++
              await until('all readers are inside', () => inside === 4)
            }),
          ),
        )
        await settlesWithin(20_000, 'the readers', Promise.all(all))
      })
    }

    it('lets writers in alone, for every kind of reader', async function () {
      this.timeout(60_000)
      const room = new Room()
      const services = [await ctx.service(), await ctx.service(), await ctx.service({ maxSessions: 1 })]
      const all = services.flatMap((locks) =>
        Object.values(ways).flatMap((way, i) =>
          [0, 1].map(async (caller) => {
            for (let round = 0; round < 8; round++) {
              const isReader = (i + caller + round) % 3 !== 0
              await way(locks, isReader, () => (isReader ? room.read(2) : room.write(1)))
            }
          }),
        ),
      )
      await settlesWithin(55_000, 'everybody', Promise.all(all))
      expect(room.wrong).to.deep.equal([])
      expect(room.mostReaders, 'readers inside at once').to.be.greaterThan(1)
    })

    for (const [name, way] of Object.entries(ways)) {
      for (const maxSessions of [1, 3]) {
        const how = maxSessions === 1 ? 'polling' : 'waiting'
        it(`does not let a ${how} writer starve in a stream of readers (${name})`, async function () {
          this.timeout(60_000)
          const readers = [await ctx.service(), await ctx.service()].map((locks) =>
            stream(ways.withLock as Way, locks, 8),
          )
          const writer = await ctx.service({ maxSessions })
          await until('the readers are at it', () => readers.every(({ turns }) => turns > 8))
          for (let i = 0; i < 3; i++) {
            const before = performance.now()
            await settlesWithin(
              20_000,
              'the writer',
              way(writer, false, async () => undefined),
            )
            // Measured: at most 150 ms for waiting writers, 500 ms for polling ones.
            expect(performance.now() - before, 'ms until the writer had its turn').to.be.lessThan(10_000)
          }
          await Promise.all(readers.map(({ stop }) => stop()))
        })
      }
    }

    it('does not let a polling writer starve among readers of several processes that are never all gone', async function () {
      this.timeout(60_000)
      const services = [await ctx.service(), await ctx.service(), await ctx.service(), await ctx.service()]
      const readers = services.map((locks) => stream(ways.withLock as Way, locks, 4, true, 150))
      const writer = await ctx.service({ maxSessions: 1 })
      await until('the readers are at it', () => readers.every(({ turns }) => turns > 4))
      for (let i = 0; i < 3; i++)
        await settlesWithin(
          20_000,
          'the writer',
          ways.withLock!(writer, false, async () => {}),
        )
      await Promise.all(readers.map(({ stop }) => stop()))
    })

    it('does not let a writer of the same process starve', async () => {
      const locks = await ctx.service()
      const readers = stream(ways.withLock as Way, locks, 8)
      await until('the readers are at it', () => readers.turns > 8)
      await locks.withLock('a', { ...write, timeout: '10s' }, () => undefined)
      await readers.stop()
    })

    for (const maxSessions of [1, 3]) {
      it(`does not let readers starve among writers (maxSessions: ${maxSessions})`, async function () {
        this.timeout(60_000)
        const writers = [await ctx.service(), await ctx.service({ maxSessions: 1 })].map((locks) =>
          stream(ways.withLock as Way, locks, 4, false),
        )
        const reader = await ctx.service({ maxSessions })
        await until('the writers are at it', () => writers.every(({ turns }) => turns > 2))
        for (const way of Object.values(ways)) await way(reader, true, async () => undefined)
        await Promise.all(writers.map(({ stop }) => stop()))
      })
    }

    it('answers callers that do not wait', async () => {
      const [here, there] = [await ctx.service(), await ctx.service()]
      const reader = await here.acquire('a', { mode })
      for (const locks of [here, there]) {
        expect(await locks.tryAcquire('a', write), 'a writer beside a reader').to.equal(null)
        const other = await locks.tryAcquire('a', { mode })
        expect(other, 'a reader beside a reader').not.to.equal(null)
        await other?.release()
      }
      await reader.release()
      const writer = await here.acquire('a', write)
      for (const locks of [here, there]) {
        expect(await locks.tryAcquire('a', { mode }), 'a reader beside a writer').to.equal(null)
        expect(await locks.tryWithLock('a', { mode }, () => 1)).to.deep.equal({ acquired: false })
      }
      await writer.release()
    })

    it('lets a reader join another one, however long that one has read, while no writer waits', async () => {
      const locks = await ctx.service({ handOver: { times: 1, for: 20 } })
      const first = await locks.acquire('a', { mode })
      for (let i = 0; i < 10; i++) {
        await sleep(10)
        await (await locks.acquire('a', { mode, timeout: 0 })).release()
      }
      await first.release()
    })

    it('lets readers in again when the writer ahead of them gives up', async () => {
      const [locks, other] = [await ctx.service({ handOver: { times: 1, for: 20 } }), await ctx.service()]
      for (const writer of [locks, other]) {
        const first = await locks.acquire('a', { mode })
        await sleep(50)
        const giveUp = ctx.abortController()
        const writing = rejection(writer.acquire('a', { ...write, signal: giveUp.signal }))
        await until('the writer waits', async () => {
          const reader = await locks.tryAcquire('a', { mode })
          await reader?.release()
          return reader === null
        })
        const reading = locks.acquire('a', { mode, timeout: '10s' })
        giveUp.abort()
        await writing
        await (await reading).release()
        await first.release()
      }
    })

    for (const maxSessions of [1, 3]) {
      it(`lets readers in behind a writer of their own process that gives up, while others read (maxSessions: ${maxSessions})`, async () => {
        // The slice of a wait is a third of the lease: without the cancel it would end only then.
        const [locks, other] = [await ctx.service({ maxSessions, lease: '600s' }), await ctx.service()]
        const elsewhere = await other.acquire('a', { mode })
        const giveUp = ctx.abortController()
        const writing = rejection(locks.acquire('a', { ...write, signal: giveUp.signal }))
        await until('the writer waits on the server', async () => {
          const reader = await other.tryAcquire('a', { mode, session: 'dedicated' })
          await reader?.release()
          return reader === null
        })
        const reading = locks.acquire('a', { mode, timeout: '20s' })
        giveUp.abort()
        await writing
        await (await reading).release()
        await elsewhere.release()
      })
    }

    it('grants the lock to all readers that try at once', async () => {
      const locks = await ctx.service()
      const tries = () => Promise.all([1, 2, 3].map(() => locks.tryAcquire('a', { mode })))
      const first = await tries()
      expect(first.map((lock) => lock !== null)).to.deep.equal([true, true, true])
      const released = first.map(async (lock) => lock?.release())
      const second = await tries()
      expect(second.map((lock) => lock !== null)).to.deep.equal([true, true, true])
      for (const lock of second) await lock?.release()
      await Promise.all(released)
    })

    it('answers a reader that does not wait behind a writer, whatever is requested for the readers ahead', async () => {
      const locks = await ctx.service({ handOver: { times: 1, for: 20 } })
      const first = await locks.acquire('a', { mode })
      await sleep(50)
      const before = locks.tryAcquire('a', { mode })
      const giveUp = ctx.abortController()
      const writing = rejection(locks.acquire('a', { ...write, signal: giveUp.signal }))
      const behind = locks.tryAcquire('a', { mode })
      expect(await behind).to.equal(null)
      await (await before)?.release()
      giveUp.abort()
      await writing
      await first.release()
    })

    it('lets no reader join readers with an expired lease', async () => {
      const locks = await ctx.service({ lease: '2s', handOver: { times: 1_000, for: 60_000 } })
      const first = await locks.acquire('a', { mode })
      // Nothing runs in this process meanwhile, as if it were stopped.
      for (const before = performance.now(); performance.now() - before < 2_500;);
      const second = await locks.acquire('a', { mode, timeout: '10s' })
      // In-memory locks have no lease that could expire.
      expect([first.isHeld, second.isHeld]).to.deep.equal([ctx.isMemory, true])
      await first.release()
      await second.release()
    })

    it('keeps the order of the queue: readers that arrive after a writer read after it', async () => {
      const locks = await ctx.service()
      const order: string[] = []
      const first = await locks.acquire('a', { mode })
      const after = [
        locks.withLock('a', write, () => order.push('writer')),
        locks.withLock('a', { mode }, () => order.push('reader')),
        locks.withLock('a', { mode }, () => order.push('reader')),
        locks.withLock('a', write, () => order.push('writer')),
      ]
      await first.release()
      await Promise.all(after)
      expect(order).to.deep.equal(['writer', 'reader', 'reader', 'writer'])
    })

    it('supports several names for readers', async () => {
      const locks = await ctx.service()
      await locks.withLock(['b', 'a'], { mode }, async (lock) => {
        expect(lock.names).to.deep.equal(['b', 'a'])
        expect(await lock.verify()).to.equal(true)
        expect(await lock.fencingToken()).to.be.a('bigint')
      })
      const lock = await locks.acquire(['b', 'a'], { mode })
      await (await locks.acquire(['c', 'b'], { mode })).release()
      expect(await locks.tryAcquire(['c', 'b'], write)).to.equal(null)
      await lock.release()
    })

    it('refuses to upgrade a reader to a writer', async () => {
      const locks = await ctx.service()
      await locks.withLock('a', { mode }, async () => {
        const error = await rejection(
          locks.withLock('a', { ...write, reentrant: true }, () => undefined),
          NamedLockReentrancyError,
        )
        expect(error.message).to.match(/together with other readers/)
        await rejection(
          locks.withLock('a', { mode }, () => undefined),
          NamedLockReentrancyError,
        )
        await locks.withLock('a', { mode, reentrant: true }, async (lock) => {
          expect(await lock.verify()).to.equal(true)
        })
      })
      await locks.transaction('a', { mode }, async () => {
        await rejection(
          locks.transaction('a', { ...write, reentrant: true }, () => undefined),
          NamedLockReentrancyError,
        )
      })
      await locks.withLock('a', write, () => locks.withLock('a', { mode, reentrant: true }, () => undefined))
    })

    it('refuses to upgrade a reader to a writer inside its transaction', async () => {
      const locks = await ctx.service()
      await locks.dataSource.transaction(async (manager) => {
        await locks.lockTransaction(manager, 'a', { mode })
        await rejection(locks.lockTransaction(manager, 'a', { ...write, reentrant: true }), NamedLockReentrancyError)
        await locks.lockTransaction(manager, 'a', { mode, reentrant: true })
      })
    })

    it('refuses to upgrade a reader to a writer on the connection of its handle', async () => {
      const [locks, other] = [await ctx.service(), await ctx.service()]
      for (const held of [mode, undefined] as const) {
        const name = held ? 'a' : 'ordinary'
        const lock = await locks.acquire(name, { mode: held, session: 'dedicated' })
        const beside = held && (await other.acquire(name, { mode: held }))
        await lock.manager.transaction(async (manager) => {
          const again = held ? write : {}
          for (const reentrant of held ? [false, true] : [false])
            await rejection(locks.lockTransaction(manager, name, { ...again, reentrant }), NamedLockReentrancyError)
          await locks.lockTransaction(manager, name, { mode: held, reentrant: true })
        })
        expect(await lock.verify()).to.equal(true)
        await beside?.release()
        await lock.release()
        expect(await locks.isLocked(name)).to.equal(false)
      }
    })

    it('is lost for all readers of a connection together', async () => {
      const [locks, other] = [await ctx.service(), await ctx.service()]
      const readers = [await locks.acquire('a', { mode }), await locks.acquire('a', { mode })]
      const elsewhere = await other.acquire('a', { mode })
      const holder = await locks.holder('a')
      await ctx.outsider.kill(holder?.connectionId as string)
      for (const lock of readers) {
        await until('the loss', () => lock.signal.aborted)
        expect(lock.signal.reason).to.be.instanceOf(NamedLockLostError)
        await lock.release()
      }
      expect(await elsewhere.verify()).to.equal(true)
      await elsewhere.release()
      await other.withLock('a', write, () => undefined)
    })

    it('detects a deadlock between readers that request the other one as writers', async () => {
      const locks = await ctx.service()
      let inside = 0
      const scope = (mine: string, other: string) =>
        locks.withLock(mine, { mode }, async () => {
          inside++
          await until('both are inside', () => inside === 2)
          await locks.withLock(other, { ...write, timeout: '20s' }, () => undefined)
        })
      const results = await Promise.allSettled([scope('a', 'b'), scope('b', 'a')])
      const failed = results.filter((result) => result.status === 'rejected')
      expect(failed).to.have.length(1)
      expect(failed[0]?.reason).to.be.instanceOf(NamedLockDeadlockError)
    })

    it('lists readers, and reports the holder to a writer that timed out', async () => {
      const [locks, other] = [await ctx.service(), await ctx.service()]
      const readers = [await locks.acquire('a', { mode }), await locks.acquire('a', { mode, session: 'dedicated' })]
      expect(await locks.isLocked('a')).to.equal(true)
      const own = await locks.holder('a')
      expect(own?.process, 'the process').to.be.a('string')
      expect(own?.mode).to.equal('read')
      expect((await other.holder('a'))?.connectionId).to.be.a('string')
      expect((await other.holder('a'))?.mode).to.equal('read')
      const list = await locks.list()
      for (const holder of [...(list[0]?.holders ?? []), ...((await other.list())[0]?.holders ?? [])])
        expect(holder.mode).to.equal('read')
      expect(list.map(({ name, mode, holders }) => [name, mode, holders.length])).to.deep.equal([['a', 'read', 2]])
      expect(list[0]?.holder).to.equal(list[0]?.holders[0])
      // The lookup has little time: on a busy machine its answer may come too late.
      await until('a timeout that tells the holder', async () => {
        const error = await rejection(other.acquire('a', { ...write, timeout: 50 }), NamedLockTimeoutError)
        return error.holder?.connectionId
      })
      for (const lock of readers) await lock.release()
      expect(await locks.isLocked('a')).to.equal(false)
      // A writer's lock is an ordinary one where the server has reader locks of its own.
      const writer = await locks.acquire('a', write)
      const shown = [await locks.holder('a'), await other.holder('a'), (await other.list())[0], (await locks.list())[0]]
      for (const one of shown) expect([undefined, 'write']).to.include(one?.mode)
      expect(new Set(shown.map((one) => one?.mode)).size).to.equal(1)
      await writer.release()
    })

    it('works with the decorator', async () => {
      const locks = await ctx.service()
      let inside = 0
      class Reports {
        constructor(readonly locks: NamedLockService) {}

        @WithNamedLock('a', '20s', { mode: 'read' })
        async read(): Promise<void> {
          inside++
          await until('both are inside', () => inside === 2)
        }
      }
      const reports = new Reports(locks)
      await Promise.all([reports.read(), reports.read()])
    })

    it('lets a service close while readers hold the lock and a writer waits', async () => {
      const locks = await ctx.service({ closeTimeout: 100 })
      const reader = await locks.acquire('a', { mode })
      const running = rejection(
        locks.withLock('a', { mode }, ({ signal }) => until('the end', () => signal.aborted)),
        NamedLockLostError,
      )
      await until('both are inside', async () => (await locks.list()).length === 1)
      const writing = rejection(locks.acquire('a', write))
      await settlesWithin(10_000, 'close()', locks.close())
      expect(reader.signal.aborted).to.equal(true)
      await running
      await writing
    })
  })
})
