import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Child } from '../support/child.js'
import { forEachFamily, type Conformance } from '../support/conformance.js'
import type { OnceCall } from '../support/fixtures/do-once.js'
import { killLockConnection, restartServer } from './faults.js'

/** NAMED_LOCK_CHAOS=full: a minute for each server, with restarts, and the summary is printed. */
const isFull = process.env.NAMED_LOCK_CHAOS === 'full'
const SECONDS = isFull ? 60 : 6
const RESTARTS = isFull ? 3 : 0
const NAMES = isFull ? 200 : 60
/** How many of all COMMITs lose their answer. */
const CUT = 0.25
const CUTS = ['before', 'sent', 'answered'] as const

describe('runOnce under faults', function () {
  this.timeout(isFull ? 600_000 : 240_000)

  forEachFamily((ctx) => {
    it('leaves one effect for each name, and tells each caller the truth, or that it is unknown', async () => {
      const table = (name: string) => `${ctx.database}.${name}`
      for (const name of ['effects', 'named_lock_done']) await ctx.outsider.query(`DROP TABLE IF EXISTS ${table(name)}`)
      await ctx.outsider.query(`CREATE TABLE ${table('effects')} (name VARCHAR(40), id VARCHAR(40))`)
      const proxy = await ctx.proxy()
      let cuts = 0
      proxy.cutCommits(() => {
        if (Math.random() > CUT) return undefined
        return CUTS[cuts++ % CUTS.length]
      })
      const all: Child[] = []
      const settings = {
        name: '',
        callers: 25,
        names: NAMES,
        step: (SECONDS * 1_000) / NAMES,
        from: Date.now() + 1_000,
      }
      const start = async (): Promise<Child> => {
        const child = ctx.startChild('do-once.ts', {
          ...settings,
          id: `p${all.length}`,
          dataSource: { port: proxy.port },
          service: { lease: '5s' },
        })
        all.push(child)
        await child.next('ready', 120_000)
        return child
      }
      const running = await Promise.all([start(), start(), start(), start()])
      const harms = await harm(ctx, running, start)
      proxy.heal()
      for (const child of running) child.send({ type: 'finish' })
      await Promise.all(running.map((child) => child.next('done', 60_000)))
      await Promise.all(running.map((child) => child.exited))

      const effects = new Map<string, string>()
      for (const { name, id } of await ctx.outsider.query(`SELECT name, id FROM ${table('effects')}`)) {
        expect(effects.has(String(name)), `a second effect of ${name}`).to.equal(false)
        effects.set(String(name), String(id))
      }
      const rows = await ctx.outsider.query(`SELECT name FROM ${table('named_lock_done')}`)
      const names = Array.from({ length: NAMES }, (_, i) => `n${i}`).sort()
      expect([...effects.keys()].sort()).to.deep.equal(names)
      expect(rows.map((row) => String(row.name)).sort()).to.deep.equal(names)

      const messages = all.flatMap((child) => child.messages.filter(({ type }) => type === 'call'))
      const calls = callsOf(messages as unknown as OnceCall[])
      const lies = calls.filter((call) => isLie(call, effects, calls))
      expect(lies, JSON.stringify(lies)).to.deep.equal([])
      const told = (outcome: OnceCall['outcome']) => calls.filter((call) => call.outcome === outcome)
      const unknown = told('unknown')
      const committed = unknown.filter(({ id, name }) => effects.get(name) === id).length
      expect(unknown.length, `${cuts} cuts`).to.be.greaterThan(0)
      if (!isFull) return
      const outcomes = { ran: told('ran').length, done: told('done').length, failed: told('failed').length }
      const doubt = { unknown: unknown.length, ofThemCommitted: committed, killedInTheMiddle: told(undefined).length }
      console.log(
        `      ${ctx.kind}: ${JSON.stringify({ effects: effects.size, ...outcomes, ...doubt, cuts, ...harms })}`,
      )
    })
  })
})

interface Call extends OnceCall {
  readonly began: number
}

/** The calls, as their processes reported them last. */
function callsOf(messages: readonly OnceCall[]): Call[] {
  const calls = new Map<string, Call>()
  for (const message of messages) {
    const began = calls.get(message.id)?.began ?? message.at
    calls.set(message.id, { ...message, began })
  }
  return [...calls.values()]
}

/** Whether a caller was told what is not so. An effect has the id of the call that wrote it. */
function isLie({ id, name, outcome, at }: Call, effects: ReadonlyMap<string, string>, calls: readonly Call[]): boolean {
  const writer = effects.get(name)
  if (outcome === 'ran') return writer !== id
  if (outcome === 'failed') return writer === id
  // It was done by a call that had begun.
  return outcome === 'done' && (writer === id || calls.find((call) => call.id === writer)!.began > at)
}

/** Kills connections all the time, a process now and then, and restarts the server. */
async function harm(
  ctx: Conformance,
  running: Child[],
  start: () => Promise<Child>,
): Promise<Record<'kills' | 'processes' | 'restarts', number>> {
  let kills = 0
  let processes = 0
  for (let part = 0; part <= RESTARTS; part++) {
    if (part > 0) await restartServer(ctx)
    const end = performance.now() + (SECONDS * 1_000) / (RESTARTS + 1)
    let nextProcess = performance.now() + 2_000
    while (performance.now() < end) {
      await sleep(20 + Math.random() * 100)
      await killLockConnection(ctx)
      kills++
      if (performance.now() < nextProcess) continue
      nextProcess = performance.now() + 4_000
      const victim = processes++ % running.length
      await running[victim]!.kill()
      running[victim] = await start()
    }
  }
  return { kills, processes, restarts: RESTARTS }
}
