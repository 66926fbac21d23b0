import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockTimeoutError, type NamedLockService } from '../../src/index.js'
import { rejection } from '../support/rejection.js'
import { Rounds } from '../support/rounds.js'
import { borrowedConnections } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import { forEachDatabase } from './support/each-database.js'
import { Stock } from './support/stock.js'

describe('callers of transaction that wait', () => {
  forEachDatabase((ctx) => {
    const stock = new Stock(ctx)
    const keyOf = (name: string) => ctx.keyOf(name)

    beforeEach(() => stock.fill(2))

    const blocked = async () =>
      (await ctx.outsider.userLocksOf(ctx.database)).filter(({ status }) => status === 'PENDING')

    /** Asks for locks, and resolves when all of them are known to wait. */
    async function waiting<T>(
      locks: NamedLockService,
      count: number,
      call: (i: number) => Promise<T>,
    ): Promise<Promise<T>[]> {
      let heard = 0
      const hear = () => heard++
      locks.on('waiting', hear)
      const calls = Array.from({ length: count }, (_, i) => call(i))
      await until(`${count} to wait`, () => heard === count)
      locks.off('waiting', hear)
      return calls
    }

    it('of one name, a hundred with a pool of ten: all get their turn, and hold no connection before', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 10 })
      const locks = await ctx.service({}, dataSource)
      let go: (() => void) | undefined
      const gate = new Promise<void>((resolve) => (go = resolve))
      const order: number[] = []
      const first = locks.transaction('a', () => gate)
      await until('the first to hold it', () => locks.isLocked('a'))
      const rest = await waiting(locks, 99, (i) =>
        locks.transaction('a', { timeout: '30s' }, async (manager) => {
          order.push(i)
          await stock.add(manager)
        }),
      )
      // The first one's, and the shared session, by which isLocked has asked.
      expect(borrowedConnections(dataSource)).to.be.at.most(2)
      go?.()
      await settlesWithin(15_000, 'all', Promise.all([first, ...rest]))
      expect(order).to.deep.equal(Array.from({ length: 99 }, (_, i) => i))
      expect(await stock.count()).to.equal(99)
    })

    it('for another process: the head of the queue alone blocks on a connection', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 10 })
      const locks = await ctx.service({}, dataSource)
      await ctx.outsider.getLock(keyOf('a'))
      const calls = await waiting(locks, 50, () =>
        locks.transaction('a', { timeout: '30s' }, (manager) => stock.add(manager)),
      )
      await until('the head to block', async () => (await blocked()).length === 1)
      expect(borrowedConnections(dataSource)).to.equal(1)
      await ctx.outsider.releaseLock(keyOf('a'))
      await settlesWithin(10_000, 'all', Promise.all(calls))
      expect(await stock.count()).to.equal(50)
    })

    it('for twenty names of another process: no more of them block than sessions are allowed', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 30 })
      const locks = await ctx.service({ maxSessions: 4 }, dataSource)
      const names = Array.from({ length: 20 }, (_, i) => `n${i}`)
      for (const name of names) await ctx.outsider.getLock(keyOf(name))
      const calls = await waiting(locks, 20, (i) =>
        locks.transaction(names[i]!, { timeout: '30s' }, (manager) => stock.add(manager)),
      )
      await until('three to block', async () => (await blocked()).length === 3)
      for (let i = 0; i < 20; i++) {
        expect((await blocked()).length).to.be.at.most(3)
        await sleep(10)
      }
      // And the shared session, which looks after the others.
      expect(borrowedConnections(dataSource)).to.be.at.most(4)
      for (const name of names) await ctx.outsider.releaseLock(keyOf(name))
      await settlesWithin(10_000, 'all', Promise.all(calls))
      expect(await stock.count()).to.equal(20)
    })

    it('stand in one queue with ordinary locks', async () => {
      const locks = await ctx.service()
      const order: string[] = []
      const held = await locks.acquire('a')
      const kinds = ['transaction', 'withLock', 'withLock', 'transaction', 'transaction', 'withLock']
      const calls = await waiting(locks, kinds.length, (i) =>
        kinds[i] === 'withLock'
          ? locks.withLock('a', () => void order.push(`withLock ${i}`))
          : locks.transaction('a', () => void order.push(`transaction ${i}`)),
      )
      await held.release()
      await settlesWithin(5_000, 'all', Promise.all(calls))
      expect(order).to.deep.equal(kinds.map((kind, i) => `${kind} ${i}`))
    })

    // Not by the number of locks, which depends on how long each takes: by the turns of others that one process has to let pass.
    for (const kinds of [
      ['transaction', 'transaction', 'withLock'],
      ['transaction', 'transaction', 'transaction'],
    ] as const) {
      it(`get their turn in every round, as other processes do: ${kinds.join(', ')}`, async () => {
        const services = await Promise.all(kinds.map(() => ctx.service()))
        const rounds = new Rounds(kinds.length)
        let added = 0
        const loops = services.flatMap((locks, process) =>
          [0, 1, 2].map(async () => {
            while (!rounds.hasEachHad(12)) {
              if (kinds[process] === 'withLock')
                await locks.withLock('a', { timeout: '30s' }, () => rounds.note(process))
              else {
                await locks.transaction('a', { timeout: '30s' }, async (manager) => {
                  rounds.note(process)
                  added++
                  await stock.add(manager)
                })
              }
            }
          }),
        )
        await settlesWithin(50_000, 'all', Promise.all(loops))
        // Two is the rule; where a session was still to be opened, or a place in the queue was lost, a few more.
        expect(rounds.mostMissed, rounds.turns.join()).to.be.at.most(7)
        expect(await stock.count()).to.equal(added)
      }).timeout(60_000)
    }

    it('for a connection get an error that says so after their timeout, and go first when a connection comes free', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 4 })
      const locks = await ctx.service({}, dataSource)
      const gates = [0, 1].map(() => {
        let open = (): void => {}
        return { promise: new Promise<void>((resolve) => (open = resolve)), open: () => open() }
      })
      let inside = 0
      const running = ['a', 'b'].map((name, i) =>
        locks.transaction(name, () => {
          inside++
          return gates[i]!.promise
        }),
      )
      await until('both inside', () => inside === 2)
      const error = await rejection(
        locks.transaction('c', { timeout: 200 }, () => expect.fail('the work ran')),
        NamedLockTimeoutError,
      )
      expect(error.message).to.match(/all 2 connections that transactions and dedicated locks may have/)
      expect(error.message).to.match(/pool has 4/)
      await rejection(locks.acquire('d', { session: 'dedicated', timeout: 100 }), NamedLockTimeoutError)
      // An ordinary lock, and the application, need none of these.
      await settlesWithin(
        2_000,
        'an ordinary lock',
        locks.withLock('c', () => dataSource.query('SELECT 1')),
      )
      const order: string[] = []
      const late = ['c', 'd', 'e'].map((name) => locks.transaction(name, () => void order.push(name)))
      gates[0]!.open()
      await settlesWithin(3_000, 'all that waited', Promise.all(late))
      expect(order).to.have.members(['c', 'd', 'e'])
      gates[1]!.open()
      await Promise.all(running)
    })

    it('of two processes with pools of two do not block each other, though their work needs a connection more', async () => {
      const sources = await Promise.all([1, 2].map(() => ctx.dataSource({ poolSize: 2 })))
      const services = await Promise.all(sources.map((dataSource) => ctx.service({}, dataSource)))
      const run = (process: number, name: string) =>
        services[process]!.transaction(name, { timeout: '20s' }, async (manager) => {
          await stock.add(manager)
          await services[process]!.outside(() => sources[process]!.query('SELECT 1'))
        })
      const calls = Array.from({ length: 10 }, (_, i) => [run(0, i % 2 ? 'a' : 'b'), run(1, i % 2 ? 'b' : 'a')]).flat()
      await settlesWithin(15_000, 'all', Promise.all(calls))
      expect(await stock.count()).to.equal(20)
    }).timeout(30_000)

    it('that leave make room at once: for the lock, and for the connection', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 3 })
      const locks = await ctx.service({}, dataSource)
      let go: (() => void) | undefined
      const running = locks.transaction('a', () => new Promise<void>((resolve) => (go = resolve)))
      await until('it to run', () => go)
      // 'b' is free, but the only connection for transactions is not.
      const controller = ctx.abortController()
      const first = rejection(locks.transaction('b', { signal: controller.signal, timeout: '20s' }, () => undefined))
      const second = locks.withLock('b', { timeout: '20s' }, () => 'second')
      controller.abort(new Error('enough'))
      await first
      expect(await settlesWithin(2_000, 'the one behind', second)).to.equal('second')
      go?.()
      await running
    })
  })
})

describe('the connections of transactions', () => {
  forEachDatabase((ctx) => {
    it('are used again, and go back after a second without use', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      const connection = async (manager: { query(sql: string): Promise<any> }) => {
        const [row] = await manager.query(
          ctx.sql(
            'SELECT CONNECTION_ID() AS id, @@SESSION.wait_timeout AS wait',
            "SELECT CONNECTION_ID() AS id, setting::int / 1000 AS wait FROM pg_settings WHERE name = 'idle_session_timeout'",
          ),
        )
        return row as { id: unknown; wait: unknown }
      }
      const first = await locks.transaction('a', connection)
      for (let i = 0; i < 5; i++) {
        const again = await locks.transaction(`n${i}`, (manager) => connection(manager))
        expect(again).to.deep.equal(first)
      }
      expect(borrowedConnections(dataSource)).to.equal(1)
      await until('it to go back', () => borrowedConnections(dataSource) === 0, { within: 2_500 })
      const back = await connection(dataSource)
      expect(String(back.id)).to.equal(String(first.id))
      expect(Number(back.wait) || Infinity, 'the lease').to.be.greaterThan(Number(first.wait))
    })

    it('go back at once when a caller waits for one, idle or in use', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const locks = await ctx.service({ connections: 'own' }, dataSource)
      await locks.transaction('a', () => undefined)
      expect(borrowedConnections(dataSource)).to.equal(1)
      const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()]
      await settlesWithin(500, 'both connections', Promise.all(runners.map((runner) => runner.connect())))
      await Promise.all(runners.map((runner) => runner.release()))

      // One after the other, without a pause: the application must get in between.
      const end = performance.now() + 2_000
      let over = false
      const loop = async () => {
        while (!over && performance.now() < end) await locks.transaction('a', (manager) => manager.query('SELECT 1'))
      }
      const loops = [loop(), loop()]
      const runner = dataSource.createQueryRunner()
      const one = dataSource.createQueryRunner()
      await one.connect()
      await settlesWithin(1_000, 'the connection', runner.connect())
      over = true
      await Promise.all([runner.release(), one.release()])
      await Promise.all(loops)
    })

    it('that die while they are idle are passed over', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      for (let i = 0; i < 3; i++) {
        const [row] = await locks.transaction('a', (manager) => manager.query('SELECT CONNECTION_ID() AS id'))
        await ctx.outsider.kill(String(row.id))
      }
      expect(await locks.transaction('a', () => 'done')).to.equal('done')
    })
  })
})
