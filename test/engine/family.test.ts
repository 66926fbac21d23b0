import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockConfigurationError, NamedLockService, type NamedLockServiceOptions } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { borrowedConnections, type DataSource } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'

const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))

describe('the services of one DataSource', () => {
  forEachDialect((ctx) => {
    const services = (dataSource: DataSource, count: number, options: NamedLockServiceOptions = {}) =>
      Promise.all(many(count, () => ctx.service(options, dataSource)))

    it('need no more connections than one: ten that hold a lock each leave room for their work', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 10 })
      const ten = await services(dataSource, 10)
      const all = ten.map((locks, i) =>
        locks.withLock(`n${i}`, async () => {
          await sleep(50)
          await dataSource.query('SELECT 1')
        }),
      )
      await settlesWithin(5_000, 'ten services with work', Promise.all(all))
      expect(borrowedConnections(dataSource)).to.be.at.most(5)
    })

    it('do not keep an uninvolved query waiting while they wait', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 4 })
      const four = await services(dataSource, 8)
      const foreign = ctx.keyOf('foreign')
      const stranger = await ctx.connectOutsider()
      await stranger.getLock(foreign)
      const waits = four.map((locks) => locks.acquire('foreign', { timeout: '20s' }))
      await sleep(200)
      await settlesWithin(2_000, 'an uninvolved query', dataSource.query('SELECT 1'))
      expect(borrowedConnections(dataSource)).to.be.at.most(2)
      await stranger.releaseLock(foreign)
      for (const wait of waits) await (await wait).release()
    })

    it('have the bounds of transactions and dedicated locks together', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 4 })
      const kinds: NamedLockServiceOptions[] = [{}, {}, { lease: '20s' }, { lease: '20s' }]
      const four = await Promise.all(kinds.map((options) => ctx.service(options, dataSource)))
      const all = many(12, (i) =>
        four[i % 4]!.transaction(`n${i}`, { timeout: '20s' }, async (manager) => {
          await four[i % 4]!.outside(() => dataSource.query('SELECT 1')) // what the application needs beside them
          await manager.query('SELECT 1')
        }),
      )
      const dedicated = many(8, (i) =>
        four[i % 4]!.withLock(`d${i}`, { session: 'dedicated', timeout: '20s' }, () => dataSource.query('SELECT 1')),
      )
      await settlesWithin(15_000, 'all of them', Promise.all([...all, ...dedicated]))
    })

    it('keep half of the pool free when their session settings differ, and all of them work', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 6 })
      const three = await Promise.all(
        ['5s', '10s', '20s'].map((lease) => ctx.service({ lease: lease as '5s' }, dataSource)),
      )
      const stranger = await ctx.connectOutsider()
      await stranger.getLock(ctx.keyOf('foreign'))
      const waits = three.map((locks) => locks.acquire('foreign', { timeout: '20s' }))
      const held = await Promise.all(three.map((locks, i) => locks.acquire(`n${i}`)))
      await sleep(300)
      expect(borrowedConnections(dataSource)).to.be.at.most(3)
      await settlesWithin(2_000, 'an uninvolved query', dataSource.query('SELECT 1'))
      await stranger.releaseLock(ctx.keyOf('foreign'))
      for (const lock of held) await lock.release()
      await settlesWithin(10_000, 'the waiters', Promise.all(waits.map(async (wait) => (await wait).release())))
    })

    it('are refused when the pool has no room for sessions with other settings, with the settings of both', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 3 })
      const locks = await ctx.service({}, dataSource)
      const make = () => new NamedLockService(dataSource, { lease: '7s' })
      expect(make).to.throw(NamedLockConfigurationError, /lease: 7000.*lease: 30000.*pool of 3.*poolSize/s)
      await locks.withLock('a', () => undefined)
      await locks.close()
      await (await ctx.service({ lease: '7s' }, dataSource)).withLock('a', () => undefined)
    })

    it('exclude each other, whatever their settings', async () => {
      const dataSource = await ctx.dataSource()
      const kinds: NamedLockServiceOptions[] = [
        {},
        {},
        { lease: '20s' },
        { connections: 'own' },
        { handOver: { times: 0 } },
      ]
      const all = await Promise.all(kinds.map((options) => ctx.service(options, dataSource)))
      let inside = 0
      let most = 0
      const work = async () => {
        most = Math.max(most, ++inside)
        await sleep(2)
        inside--
      }
      const calls = many(60, (i) => {
        const locks = all[i % all.length]!
        return i % 3 === 0
          ? locks.transaction('hot', { timeout: '20s' }, work)
          : locks.withLock('hot', { timeout: '20s' }, work)
      })
      await settlesWithin(20_000, 'all calls', Promise.all(calls))
      expect(most).to.equal(1)
    })

    it('have their own events, also where a lock is passed on from one to the other', async () => {
      const dataSource = await ctx.dataSource()
      const [one, other] = (await services(dataSource, 2)) as [NamedLockService, NamedLockService]
      const seen: string[] = []
      for (const [side, locks] of [
        ['one', one],
        ['other', other],
      ] as const) {
        locks.on('waiting', () => void seen.push(`${side} waits`))
        locks.on('acquired', ({ by }) => void seen.push(`${side} has it by ${by}`))
        locks.on('released', () => void seen.push(`${side} is done`))
        locks.on('lost', () => void seen.push(`${side} lost it`))
      }
      const first = await one.acquire('a')
      const second = other.acquire('a')
      await until('the waiter', () => seen.length === 2)
      await first.release()
      await (await second).release()
      expect(seen).to.have.members([
        'one has it by server',
        'other waits',
        'other has it by handover',
        'one is done',
        'other is done',
      ])
      expect(seen).to.have.length(5)
    })

    it('end alone: close() of one leaves handles, waiters and running work of the others alone', async () => {
      const dataSource = await ctx.dataSource()
      const [one, other] = (await services(dataSource, 2)) as [NamedLockService, NamedLockService]
      const mine = await one.acquire('mine')
      const theirs = await other.acquire('theirs')
      const behind = other.acquire('mine', { timeout: '10s' })
      const refused = rejection(one.acquire('theirs', { timeout: '10s' }))
      let isDone = false
      const work = other.withLock('work', async () => {
        await sleep(300)
        isDone = true
      })
      await settlesWithin(2_000, 'close()', one.close())
      expect(isDone).to.equal(false)
      expect((await refused).name).to.equal('NamedLockClosedError')
      expect(mine.isHeld).to.equal(false)
      expect(theirs.isHeld).to.equal(true)
      await (await settlesWithin(2_000, 'the one behind', behind)).release()
      await work
      expect(await theirs.verify()).to.equal(true)
      await theirs.release()
      await settlesWithin(3_000, 'close() of the last', other.close())
      await ctx.expectNothingBorrowed(dataSource)
    })

    it('have sessions again at once when one is made while the last is closing, and after it', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const one = new NamedLockService(dataSource, { closeTimeout: '5s' })
      const work = one.withLock('a', () => sleep(300))
      await one.withLock('b', () => undefined)
      const closing = one.close()
      const other = await ctx.service({}, dataSource)
      await settlesWithin(
        2_000,
        'the new one',
        other.withLock('b', () => undefined),
      )
      await work
      await settlesWithin(3_000, 'close()', closing)
      await settlesWithin(
        2_000,
        'the new one',
        other.withLock('a', () => dataSource.query('SELECT 1')),
      )
      await other.close()
      const third = await ctx.service({}, dataSource)
      await settlesWithin(
        2_000,
        'a third',
        third.withLock('a', () => dataSource.query('SELECT 1')),
      )
    })

    it('have bounds of their own on the number of locks', async () => {
      const dataSource = await ctx.dataSource()
      const other = await ctx.service({}, dataSource)
      const locks = await ctx.service({ maxLocks: 2 }, dataSource)
      const held = await Promise.all(many(5, (i) => other.acquire(`other-${i}`)))
      held.push(await locks.acquire('a'), await locks.acquire('b'))
      const error = await rejection(locks.acquire('c'), NamedLockConfigurationError)
      expect(error.message).to.match(/This service holds or waits for 2 locks/)
      await Promise.all(held.map((lock) => lock.release()))
      await (await locks.acquire('c')).release()
    })

    it('list the locks of their own namespace only, by the names that it gives them', async () => {
      const dataSource = await ctx.dataSource()
      const one = await ctx.service({}, dataSource)
      const other = await ctx.service({ namespace: `${ctx.database}_other` }, dataSource)
      const long = 'a name that does not fit into a key, '.repeat(4)
      const held = [
        await one.acquire('a'),
        await other.acquire('b'),
        await other.acquire(long),
        await one.acquire(long),
      ]
      if (!ctx.isPostgres) {
        expect((await one.list()).map(({ name }) => name)).to.have.members(['a', long])
        expect((await other.list()).map(({ name }) => name)).to.have.members(['b', long])
      }
      expect(await one.isLocked('b')).to.equal(false)
      expect(await other.isLocked('b')).to.equal(true)
      for (const lock of held) await lock.release()
    })
  })
})
