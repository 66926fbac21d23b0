import { expect } from 'chai'
import { forEachFamily } from '../support/conformance.js'

/** Waiters for permits, and readers and writers, may need so much of the memory that a waiter for an ordinary lock needs. */
const MOST = 1.3

describe('a thousand waiters', function () {
  this.timeout(180_000)

  forEachFamily((ctx) => {
    it('cost four connections at most, and little more memory for permits and modes than for an ordinary lock', async () => {
      const child = ctx.startChild('memory-of-waiters.ts', {
        name: 'measured',
        service: { maxLocks: 20_000 },
        dataSource: { poolSize: 20 },
      })
      const bytes: Record<string, number> = {}
      for (const kind of ['mutex', 'permits', 'readers', 'writers']) {
        const measured = await child.next('measured', 120_000)
        expect(measured.kind).to.equal(kind)
        bytes[kind] = Number(measured.bytes)
        const connections = await ctx.outsider.connectionsOf(ctx.database)
        expect(connections.length, kind).to.be.at.most(4)
        child.send({ type: 'go on' })
      }
      await child.exited
      const text = Object.entries(bytes).map(([kind, one]) => `${kind} ${one}`)
      console.log(`        bytes of each waiter: ${text.join(', ')}`)
      for (const [kind, one] of Object.entries(bytes))
        expect(one / (bytes.mutex as number), `${kind}: ${text.join(', ')}`).to.be.within(0.3, MOST)
    })
  })
})
