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
const NAMES = isFull ? 4 : 30

describe('runOnce under faults', function () {
  this.timeout(240_000)

  forEachFamily((ctx) => {
    it('leaves one effect for each name that is done, and none for others', async () => {
      const table = (name: string) => `${ctx.database}.${name}`
      for (const name of ['effects', 'named_lock_done']) await ctx.outsider.query(`DROP TABLE IF EXISTS ${table(name)}`)
      await ctx.outsider.query(`CREATE TABLE ${table('effects')} (name VARCHAR(40))`)
      const start = (i: number): Child =>
        ctx.startChild('do-once.ts', { name: '', id: `p${i}`, callers: 25, names: NAMES, service: { lease: '5s' } })
      const children = [0, 1, 2, 3].map(start)
      await Promise.all(children.map((child) => child.next('ready', 120_000)))
      const kills = await harm(ctx, children, start)
      for (const child of children) child.send({ type: 'finish' })
      const done = await Promise.all(children.map((child) => child.next('done', 60_000)))
      await Promise.all(children.map((child) => child.exited))

      const results = done as unknown as { calls: OnceCall[]; again: OnceCall[] }[]
      const calls = results.flatMap((result) => result.calls)
      const namesOf = (rows: any[]) => rows.map((row) => String(row.name)).sort()
      const effects = namesOf(await ctx.outsider.query(`SELECT name FROM ${table('effects')}`))
      const rows = namesOf(await ctx.outsider.query(`SELECT name FROM ${table('named_lock_done')}`))
      expect(effects).to.deep.equal(rows)
      expect(new Set(effects).size).to.equal(effects.length)
      for (const { name, outcome } of calls) {
        if (outcome === 'ran' || outcome === 'done') expect(effects, `${name}: ${outcome}`).to.include(name)
      }
      const told = (outcome: OnceCall['outcome']) => calls.filter((call) => call.outcome === outcome).length
      for (const name of new Set(calls.map((call) => call.name))) {
        const ran = calls.filter((call) => call.name === name && call.outcome === 'ran').length
        expect(ran, `ran ${name}`).to.be.at.most(1)
      }
      for (const result of results) {
        for (const { name, outcome } of result.again) expect(outcome, name).to.be.oneOf(['ran', 'done'])
      }
      expect(told('ran')).to.be.greaterThan(20)
      if (isFull) {
        const figures = { names: effects.length, ran: told('ran'), done: told('done'), unknown: told('unknown') }
        console.log(`      ${ctx.kind}: ${JSON.stringify({ ...figures, failed: told('failed'), ...kills })}`)
      }
    })
  })
})

/** Kills connections all the time, a process now and then, and restarts the server. */
async function harm(ctx: Conformance, children: Child[], start: (i: number) => Child): Promise<Record<string, number>> {
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
      const victim = processes++ % children.length
      await children[victim]!.kill()
      children[victim] = start(victim)
      await children[victim].next('ready', 60_000)
    }
  }
  return { kills, processes, restarts: RESTARTS }
}
