import { expect } from 'chai'
import type { NamedLockEvents, NamedLockService } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { until } from '../support/until.js'

const eventNames = ['waiting', 'acquired', 'timedOut', 'lost', 'released', 'releaseFailed'] as const

interface Recorded {
  readonly event: keyof NamedLockEvents
  readonly name: string
  readonly key: string
  readonly waitedMs: number
  readonly by?: string
  readonly heldMs?: number
  readonly error?: unknown
}

function record(locks: NamedLockService): Recorded[] {
  const events: Recorded[] = []
  for (const event of eventNames) locks.on(event, (content) => events.push({ event, ...content }))
  return events
}

const short = (events: readonly Recorded[]) =>
  events.map(({ event, name, by }) => [event, name, ...(by ? [by] : [])].join(' '))

describe('events', () => {
  forEachDialectAndTypeorm((ctx) => {
    it('report the acquisition of a free lock', async () => {
      const locks = await ctx.service()
      const events = record(locks)
      const lock = await locks.acquire('a')
      const start = performance.now()
      await ctx.outsider.query('SELECT SLEEP(0.05)')
      await lock.release()
      const held = performance.now() - start
      expect(short(events)).to.deep.equal(['acquired a server', 'released a'])
      for (const { key } of events) expect(key).to.equal(lock.key)
      expect(events[0]?.waitedMs).to.be.within(0, 5_000)
      expect(events[1]?.heldMs).to.be.within(45, held + 1_000)
    })

    it('report a wait, and a hand-over', async () => {
      const locks = await ctx.service({ handOver: { for: '1m' } }) // on a busy machine the turn must not end before the release
      const events = record(locks)
      const first = await locks.acquire('a')
      const start = performance.now()
      const second = locks.withLock('a', () => 'done')
      await until('the wait', () => events.some(({ event }) => event === 'waiting'))
      await ctx.outsider.query('SELECT SLEEP(0.05)')
      await first.release()
      await second
      const waited = performance.now() - start
      expect(short(events).filter((event) => !event.startsWith('released'))).to.deep.equal([
        'acquired a server',
        'waiting a',
        'acquired a handover',
      ])
      expect(short(events).filter((event) => event.startsWith('released'))).to.have.length(2)
      const last = events.findLast(({ event }) => event === 'acquired')
      expect(last?.waitedMs).to.be.within(45, waited + 1)
    })

    it('report the wait for a lock of another process', async () => {
      const locks = await ctx.service()
      const events = record(locks)
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      const waiting = locks.acquire('foreign')
      await until('the wait', () => events.some(({ event }) => event === 'waiting'))
      await ctx.outsider.releaseLock(foreign)
      await (await waiting).release()
      expect(short(events)).to.deep.equal(['waiting foreign', 'acquired foreign server', 'released foreign'])
    })

    it('report a timeout', async () => {
      const locks = await ctx.service()
      const events = record(locks)
      const foreign = ctx.keyOf('foreign')
      await ctx.outsider.getLock(foreign)
      await locks.acquire('foreign', { timeout: 120 }).catch(() => undefined)
      expect(short(events)).to.deep.equal(['waiting foreign', 'timedOut foreign'])
      expect(events[1]?.waitedMs).to.be.within(120, 2_000)
      await ctx.outsider.releaseLock(foreign)
    })

    it('report a loss, and then no release', async () => {
      const locks = await ctx.service()
      const events = record(locks)
      const lock = await locks.acquire('a')
      await ctx.outsider.kill((await ctx.outsider.holderOf(lock.key))!)
      await until('the loss', () => !lock.isHeld)
      await lock.release()
      expect(short(events)).to.deep.equal(['acquired a server', 'lost a'])
      expect(events[1]?.error).to.be.instanceOf(Error)
    })

    it('reach their listeners: on, once and off', async () => {
      const locks = await ctx.service()
      const heard: string[] = []
      const on = () => heard.push('on')
      expect(locks.on('released', on)).to.equal(locks)
      expect(locks.once('released', () => heard.push('once'))).to.equal(locks)
      await locks.withLock('a', () => undefined)
      await locks.withLock('a', () => undefined)
      expect(heard).to.deep.equal(['on', 'once', 'on'])
      expect(locks.off('released', on)).to.equal(locks)
      await locks.withLock('a', () => undefined)
      expect(heard).to.deep.equal(['on', 'once', 'on'])
    })

    it('belong to one service: another one on the same DataSource has its own', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      const other = await ctx.service({}, dataSource)
      const events = record(other)
      await locks.withLock('a', () => undefined)
      expect(events).to.deep.equal([])
    })

    it('survive listeners that throw, and so do the locks', async () => {
      const locks = await ctx.service()
      const events: Recorded[] = []
      for (const event of eventNames) {
        locks.on(event, () => {
          throw new Error(`a listener of ${event} fails in this test`)
        })
      }
      for (const event of eventNames) locks.on(event, (content) => events.push({ event, ...content }))
      const warnings: string[] = []
      const onWarning = (warning: Error) => warnings.push(String(warning))
      process.on('warning', onWarning)

      const first = await locks.acquire('a')
      const second = locks.withLock('a', () => 'done')
      await locks.acquire('a', { timeout: 50 }).catch(() => undefined)
      await first.release()
      expect(await second).to.equal('done')
      const lost = await locks.acquire('a')
      await ctx.outsider.kill((await ctx.outsider.holderOf(lost.key))!)
      await until('the loss', () => !lost.isHeld)
      await lost.release()
      expect(await locks.withLock('a', { timeout: '2s' }, () => 'again')).to.equal('again')
      expect(new Set(events.map(({ event }) => event))).to.include.all.keys(...eventNames.slice(0, 5))
      expect(await ctx.outsider.holderOf(lost.key)).to.equal(null)
      process.off('warning', onWarning)
    })
  })
})
