import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockTimeoutError } from '../../src/index.js'
import { finishChildren, type Child } from '../support/child.js'
import { forEachDialect, type Conformance } from '../support/conformance.js'
import { Figure } from '../support/figure.js'
import { clock } from '../support/fixtures/clock.js'
import type { ReaderOrWriter, RoomVisit } from '../support/fixtures/read-and-write.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

const isFull = process.env.NAMED_LOCK_CHAOS === 'full'
const FOR_MS = isFull ? 10_000 : 1_000
/** An overlap belongs to a kill so short before: the server lets go first. */
const AFTERMATH = 500

const behindReaders = new Figure('a writer behind readers of another process', 30)
const behindWriter = new Figure('a reader behind a writer of another process', 30)
const freed = new Figure('a lock for readers of a process that was killed', 2_000)
const forgotten = new Figure('a waiting writer of a process that was killed', 2_000)

interface Overlap {
  readonly length: number
  readonly at: number
}

/** A writer beside any other holder. */
function overlaps(visits: readonly RoomVisit[]): Overlap[] {
  const inOrder = [...visits].sort((a, b) => a.from - b.from)
  const found: Overlap[] = []
  let writer: RoomVisit | undefined
  let latest: RoomVisit | undefined
  for (const visit of inOrder) {
    const other = visit.mode === 'write' ? latest : writer
    if (other && other.till > visit.from)
      found.push({ length: Math.min(other.till, visit.till) - visit.from, at: visit.from })
    if (visit.mode === 'write' && !(writer && writer.till > visit.till)) writer = visit
    if (!latest || visit.till > latest.till) latest = visit
  }
  return found
}

describe('readers and writers of several processes', () => {
  forEachDialect((ctx) => {
    let children: Child[] = []

    async function contend(
      kinds: readonly Partial<ReaderOrWriter>[],
      meanwhile?: () => Promise<void>,
    ): Promise<RoomVisit[][]> {
      const usual: ReaderOrWriter = { mode: 'read', callers: 2, workMs: 3, forMs: FOR_MS, how: 'waiting', name: 'room' }
      for (const [i, child] of children.entries()) child.send({ type: 'contend', what: { ...usual, ...kinds[i] } })
      for (const child of children) await child.next('prepared')
      for (const child of children) child.send({ type: 'go' })
      await meanwhile?.()
      const results = Promise.all(children.map((child) => child.next('contended', FOR_MS + 25_000)))
      const all = (await settlesWithin(FOR_MS + 25_000, 'all visits', results)) as unknown as { visits: RoomVisit[] }[]
      return all.map(({ visits }) => visits)
    }

    it('exclude each other, none starves, and kills change nothing but what the server lets go', async function () {
      this.timeout(90_000 + 8 * FOR_MS)
      children = Array.from({ length: 3 }, () =>
        ctx.startChild('read-and-write.ts', { name: 'room', service: { lease: '1s' } }),
      )
      for (const child of children) await child.next('ready', 30_000)
      const writer = { mode: 'write', callers: 1, workMs: 1 } as const
      const tight = { callers: 1, workMs: 0 } as const
      const mixes: [title: string, kinds: readonly Partial<ReaderOrWriter>[]][] = [
        ['a writer among two processes of readers', [tight, {}, writer]],
        ['a polling writer among them', [{}, { how: 'polling' }, { ...writer, how: 'polling' }]],
        ['a reader among two processes of writers', [{ ...writer, ...tight }, writer, {}]],
        ['a polling reader among them', [writer, { ...writer, how: 'polling', callers: 2 }, { how: 'polling' }]],
        ['connections of their own', [{ how: 'transaction' }, { ...writer, how: 'transaction' }, { how: 'dedicated' }]],
      ]
      for (const [title, kinds] of mixes) {
        const visits = await contend(kinds)
        const line = `${title}: ${visits.map(({ length }) => length).join(' : ')} visits`
        console.log(`        ${line}`)
        expect(overlaps(visits.flat()), line).to.deep.equal([])
        for (const one of visits) expect(one.length, line).to.be.at.least(ctx.isPostgres ? 1 : 2)
      }
      await killDuring(ctx, async (kill) => {
        const kinds: Partial<ReaderOrWriter>[] = [{}, writer, { ...writer, how: 'transaction' }]
        const killedAt: number[] = []
        const visits = await contend(kinds, async () => {
          for (const end = performance.now() + FOR_MS * 0.8; performance.now() < end; await sleep(120)) {
            await kill()
            killedAt.push(clock())
          }
        })
        const found = overlaps(visits.flat())
        const line = `${killedAt.length} kills, ${visits.map(({ length }) => length).join(' : ')} visits, overlaps: ${JSON.stringify(found)}`
        if (isFull || found.length > 0) console.log(`        ${line}`)
        for (const { at, length } of found) {
          expect(
            killedAt.some((time) => at > time - AFTERMATH && at < time + AFTERMATH),
            line,
          ).to.equal(true)
          expect(length, line).to.be.lessThan(1_000)
        }
        for (const one of visits) expect(one.length, line).to.be.at.least(ctx.isPostgres ? 1 : 2)
      })
      for (const child of children) child.send({ type: 'contend' })
      await Promise.all(children.map((child) => child.exited))
      await finishChildren()
    })

    it('get the lock soon after its release', async function () {
      this.timeout(60_000)
      const [here, there] = [await ctx.service(), await ctx.service({}, await ctx.dataSource())]
      const round = async (figure: Figure, first: 'read' | 'write', second: 'read' | 'write', pause: number) => {
        const held = await here.acquire('a', { mode: first })
        const waiting = there.acquire('a', { mode: second }).then((lock) => ({ lock, at: clock() }))
        await sleep(pause)
        const released = held.release()
        const from = clock()
        const { lock, at } = await waiting
        figure.add(at - from)
        await Promise.all([released, lock.release()])
      }
      for (let i = 0; i < 12; i++) {
        await round(behindReaders, 'read', 'write', 20 + i * 15)
        await round(behindWriter, 'write', 'read', 20 + i * 15)
      }
      behindReaders.expectKept()
      behindWriter.expectKept()
    })

    it('do not wait for a process that is dead: neither for its reader nor for its waiting writer', async function () {
      this.timeout(60_000)
      const locks = await ctx.service()
      const reader = ctx.startChild('hold-and-vanish.ts', { name: 'a', mode: 'read' })
      await reader.next('held')
      expect(await locks.tryAcquire('a', { mode: 'write' })).to.equal(null)
      const waiting = locks.acquire('a', { mode: 'write', timeout: '20s' })
      const killedAt = clock()
      await reader.kill()
      const lock = await waiting
      freed.add(Math.max(0, clock() - killedAt))
      await lock.release()

      const held = await locks.acquire('a', { mode: 'read' })
      const writer = ctx.startChild('hold-and-vanish.ts', { name: 'a', mode: 'write' })
      const other = await ctx.service({}, await ctx.dataSource())
      const reads = async (): Promise<boolean> => {
        const one = await other.tryAcquire('a', { mode: 'read' })
        await one?.release()
        return one !== null
      }
      await until('the writer keeps readers out', async () => !(await reads()), { within: 30_000 })
      const diedAt = clock()
      await writer.kill()
      await until('readers come in again', reads, { within: 30_000, every: 5 })
      forgotten.add(Math.max(0, clock() - diedAt))
      await held.release()
      freed.expectKept()
      forgotten.expectKept()
    })

    it('are 64 processes at most that read at a time on MySQL and MariaDB; the next one waits', async function () {
      this.timeout(60_000)
      ctx.notOnPostgres('readers have slots')
      const dataSource = await ctx.dataSource({ poolSize: 140 })
      const locks = await ctx.service({}, dataSource)
      const readers = await Promise.all(
        Array.from({ length: 64 }, () => locks.acquire('a', { mode: 'read', session: 'dedicated', timeout: '30s' })),
      )
      await rejection(locks.acquire('a', { mode: 'read', timeout: 50 }), NamedLockTimeoutError)
      const next = locks.acquire('a', { mode: 'read', timeout: '20s' })
      await readers[17]?.release()
      const last = await next
      expect(await last.verify()).to.equal(true)
      expect((await locks.list())[0]?.holders).to.have.length(64)
      await Promise.all([...readers, last].map((lock) => lock.release()))
    })
  })
})

/** Kills connections of the children, as an operator would. */
async function killDuring(ctx: Conformance, run: (kill: () => Promise<void>) => Promise<void>): Promise<void> {
  const killer = await ctx.connectOutsider()
  let at = 0
  await run(async () => {
    const connections = await killer.connectionsOf(ctx.database)
    const others = connections.filter(({ id }) => id !== killer.id && id !== ctx.outsider.id)
    const victim = others[at++ % Math.max(1, others.length)]
    if (victim) await killer.kill(victim.id).catch(() => undefined)
  })
}
