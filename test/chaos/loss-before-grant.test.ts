import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Child } from '../support/child.js'
import { forEachDialect, type Conformance } from '../support/conformance.js'
import { Figure } from '../support/figure.js'
import { clock } from '../support/fixtures/clock.js'
import type { SeenLoss } from '../support/fixtures/hold-and-watch.js'
import type { TcpProxy } from '../support/tcp-proxy.js'

/*
 * The promise of the lease: whatever keeps a holder silent, it knows of its loss before any other caller gets the lock. One process
 * for each fault, with many locks in it, each with a session and a lease of its own; the waiters are in this process.
 * NAMED_LOCK_CHAOS=full makes it 200 runs for each server, and prints the figures.
 */

const isFull = process.env.NAMED_LOCK_CHAOS === 'full'
const locksOfAFault = isFull ? 34 : 5
const longestLease = isFull ? 3_000 : 2_000

const grant = new Figure('the next grant after a silent fault, beyond the lease', 2_000, 10_000)

/** A fault begins, lasts at most so long, and is undone. Resolves when it began. */
type Fault = (child: Child, proxy: TcpProxy, lasts: number) => Promise<void> | void

const faults: Record<string, Fault> = {
  'the process is stopped': async (child, _proxy, lasts) => {
    child.stop()
    await sleep(lasts)
    child.cont()
  },
  'the event loop is blocked': (child, _proxy, lasts) => child.send({ type: 'block', milliseconds: lasts }),
  'nothing reaches the server': (_child, proxy) => proxy.blackHole('to server'),
  'nothing reaches the client': (_child, proxy) => proxy.blackHole('to client'),
  'nothing gets through': (_child, proxy) => proxy.blackHole('both'),
  'the network has forgotten the connections': (_child, proxy) => proxy.forget(),
}

describe('a holder that goes silent', () => {
  forEachDialect((ctx) => {
    it('knows of its loss before any other caller has the lock, in every run', async function () {
      this.timeout(180_000)
      const runs = await Promise.all(Object.entries(faults).map(([what, fault]) => suffer(ctx, what, fault)))
      const all = runs.flat()
      for (const run of all) {
        const history = JSON.stringify(run)
        expect(run.lastHeldAt, `believed in its lock when another had it: ${history}`).to.be.lessThan(run.grantedAt)
        expect(run.signalAt, `no signal: ${history}`).to.be.greaterThan(0)
        expect(run.reason, history).to.match(/NamedLockLostError: .*lease ran out|NamedLockLostError: .*connection/)
        grant.add(run.grantedAt - run.faultAt - run.lease)
      }
      grant.expectKept()
      if (isFull) report(ctx.kind, all)
    })
  })
})

interface Run extends SeenLoss {
  readonly what: string
  readonly lease: number
  readonly faultAt: number
  readonly grantedAt: number
}

async function suffer(ctx: Conformance, what: string, fault: Fault): Promise<Run[]> {
  const proxy = await ctx.proxy()
  const locks = Array.from({ length: locksOfAFault }, (_, i) => ({
    name: `${what} ${i}`,
    lease: Math.round(1_000 + Math.random() * (longestLease - 1_000)),
    session: i % 3 === 2 ? ('dedicated' as const) : ('shared' as const),
  }))
  const child = ctx.startChild('hold-and-watch.ts', {
    name: what,
    locks,
    // Services with leases of their own share no sessions, and locks may use half of the pool.
    dataSource: { port: proxy.port, poolSize: locks.length * 3 },
  })
  child.expectExit(0)
  await child.next('held', 60_000)
  // Some wait on the server, the others poll.
  const waiter = await ctx.service({ timeout: '60s' }, await ctx.dataSource({ poolSize: 6 }))
  const grants = locks.map(async ({ name }) => {
    const lock = await waiter.acquire(name)
    const at = clock()
    await lock.release()
    return at
  })
  await sleep(Math.random() * 1_000) // anywhere between two heartbeats
  const faultAt = clock()
  // Up to and beyond the time at which the server lets go.
  await fault(child, proxy, longestLease + Math.random() * 2_000)
  const grantedAt = await Promise.all(grants)
  const { losses } = (await child.next('lost', 60_000)) as unknown as { losses: SeenLoss[] }
  child.send({ type: 'exit' })
  await child.exited
  return losses.map((loss, i) => ({ what, lease: locks[i]!.lease, faultAt, grantedAt: grantedAt[i]!, ...loss }))
}

function report(kind: string, runs: readonly Run[]): void {
  const largest = (value: (run: Run) => number): string => `${Math.round(Math.max(...runs.map(value)))} ms`
  const smallest = (value: (run: Run) => number): string => `${Math.round(Math.min(...runs.map(value)))} ms`
  console.log(
    `      ${kind}: ${runs.length} runs; from the last moment of belief to the next grant at least ${smallest((run) => run.grantedAt - run.lastHeldAt)}; ` +
      `from the fault to the grant at most the lease + ${largest((run) => run.grantedAt - run.faultAt - run.lease)}`,
  )
}
