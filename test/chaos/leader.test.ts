import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Child } from '../support/child.js'
import { forEachFamily, type Conformance } from '../support/conformance.js'
import { Figure } from '../support/figure.js'
import type { Leading } from '../support/fixtures/lead.js'
import type { TcpProxy } from '../support/tcp-proxy.js'
import { connectionsIn } from '../support/typeorms.js'
import { until } from '../support/until.js'

/** NAMED_LOCK_CHAOS=full: a minute for each server, and the figures are printed. */
const isFull = process.env.NAMED_LOCK_CHAOS === 'full'
const ROUNDS = isFull ? 6 : 1
const LEASE = 1_000
/** How long two processes may both believe to lead when the server let go first, in milliseconds. */
const LET_GO_FIRST = 1_000

const afterKill = new Figure('a leader after the death of another', 2_000)
const afterSilence = new Figure('a leader after the silence of another', LEASE + 2_000)
const afterResignation = new Figure('a leader after a resignation', 500)

interface Candidate {
  child: Child
  readonly proxy: TcpProxy
}

type Fault = 'killed' | 'stopped' | 'cut off' | 'its connection killed' | 'resigned'
const FAULTS: readonly Fault[] = ['killed', 'stopped', 'cut off', 'its connection killed', 'resigned']

describe('the leader of five processes', function () {
  this.timeout(300_000)

  after(() => {
    for (const figure of [afterKill, afterSilence, afterResignation]) figure.expectKept()
  })

  forEachFamily((ctx) => {
    it('costs the server less than five statements a second for each process that waits', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      const key = ctx.keyOf('asked')
      expect(await ctx.outsider.getLock(key)).to.equal(true)
      const leadership = locks.lead('asked', () => undefined)
      await sleep(1_000)
      let statements = 0
      for (const connection of connectionsIn(dataSource) as any[]) {
        // mysql2's `addCommand` has prepared statements as well.
        const method = 'addCommand' in connection ? 'addCommand' : 'query'
        const send = connection[method].bind(connection)
        connection[method] = (...args: any[]) => {
          statements++
          return send(...args)
        }
      }
      const began = performance.now()
      await sleep(3_000)
      const perSecond = (statements * 1_000) / (performance.now() - began)
      if (isFull) console.log(`      ${ctx.kind}: ${perSecond.toFixed(1)} statements a second for a campaign`)
      expect(perSecond).to.be.within(1, 5)
      await leadership.resign()
      await ctx.outsider.releaseLock(key)
    })

    it('is followed by another, whatever happens to it, and is alone', async () => {
      const ended: Child[] = []
      const all: Candidate[] = await Promise.all([0, 1, 2, 3, 4].map(() => candidate(ctx)))
      const reportsOf = (child: Child) =>
        child.messages.filter(({ type }) => type === 'leads') as unknown as readonly Leading[]
      const lastReport = (child: Child) => reportsOf(child).at(-1)?.at ?? 0
      const leaderSince = (time: number) => all.find(({ child }) => lastReport(child) > time)
      let letGo = 0

      for (let round = 0; round < ROUNDS; round++) {
        for (const fault of FAULTS) {
          const now = Date.now()
          await until('a leader', () => leaderSince(now), { within: 30_000, every: 5 })
          await sleep(200 + Math.random() * 300)
          const asked = Date.now()
          await until('the leader of now', () => leaderSince(asked), { within: 30_000, every: 5 })
          const leader = leaderSince(asked)!
          const old = leader.child
          const at = Date.now()
          if (fault === 'its connection killed') letGo++
          const heal = await harm(ctx, leader, fault, round)
          const next = () => all.find(({ child }) => child !== old && lastReport(child) > at)
          if (fault !== 'its connection killed') {
            await until(`a leader after one was ${fault}`, next, { within: 30_000, every: 5 })
            const took = reportsOf(next()!.child).find((report) => report.at > at)!.at - at
            const figure = fault === 'killed' ? afterKill : fault === 'resigned' ? afterResignation : afterSilence
            figure.add(took)
          }
          await heal()
          if (leader.child !== old) ended.push(old)
        }
      }
      for (const { child } of all) child.send({ type: 'resign' })
      await Promise.all(all.map(({ child }) => child.next('resigned', 30_000)))
      await Promise.all(all.map(({ child }) => child.exited))
      expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])

      const terms = termsOf([...ended, ...all.map(({ child }) => child)].map(reportsOf))
      expect(terms.length).to.be.greaterThan(ROUNDS * (FAULTS.length - 1))
      const overlaps = terms
        .slice(1)
        .map((term, i) => terms[i]!.end - term.begin)
        .filter((time) => time > 0)
      expect(overlaps.length, `overlaps of ${overlaps.join()} ms`).to.be.at.most(letGo)
      for (const time of overlaps) expect(time).to.be.lessThan(LET_GO_FIRST)
      for (let i = 1; i < terms.length; i++) expect(terms[i]!.token > terms[i - 1]!.token, 'tokens rise').to.equal(true)
      if (isFull) console.log(`      ${ctx.kind}: ${terms.length} terms, overlaps: ${JSON.stringify(overlaps)} ms`)
    })
  })
})

async function candidate(ctx: Conformance, proxy?: TcpProxy): Promise<Candidate> {
  const through = proxy ?? (await ctx.proxy())
  const child = ctx.startChild('lead.ts', {
    name: 'leader',
    dataSource: { port: through.port },
    service: { lease: LEASE, closeTimeout: '1s' },
  })
  await child.next('ready', 60_000)
  return { child, proxy: through }
}

/** Resolves, once the fault has begun, to its end. */
async function harm(ctx: Conformance, leader: Candidate, fault: Fault, round: number): Promise<() => Promise<void>> {
  const { child, proxy } = leader
  const again = async (): Promise<void> => {
    leader.child = (await candidate(ctx, proxy)).child
  }
  switch (fault) {
    case 'killed':
      await child.kill()
      return again
    case 'stopped':
      child.stop()
      return async () => child.cont()
    case 'cut off':
      proxy.blackHole()
      return async () => proxy.heal()
    case 'its connection killed': {
      const holder = await ctx.outsider.holderOf(ctx.keyOf('leader'))
      if (holder !== null) await ctx.outsider.kill(holder).catch(() => undefined)
      return async () => undefined
    }
    case 'resigned':
      child.send({ type: 'resign', by: round % 2 === 0 ? 'resign' : 'close' })
      return async () => {
        await child.exited
        await again()
      }
  }
}

/** The time of each term, by its fencing token, in the order of their beginnings. */
function termsOf(all: readonly (readonly Leading[])[]): { token: bigint; begin: number; end: number }[] {
  const terms = new Map<string, { token: bigint; begin: number; end: number }>()
  for (const { token, at } of all.flat()) {
    const term = terms.get(token) ?? { token: BigInt(token), begin: at, end: at }
    terms.set(token, { ...term, begin: Math.min(term.begin, at), end: Math.max(term.end, at) })
  }
  return [...terms.values()].sort((a, b) => a.begin - b.begin)
}
