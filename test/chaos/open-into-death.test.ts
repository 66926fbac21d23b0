import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { forEachDialect, forEachOwnServer } from '../support/conformance.js'

describe('a server that dies while a connection is opened', () => {
  forEachDialect((ctx) => {
    it('never ends the process by an error without a listener, whichever message it dies after', async function () {
      this.timeout(180_000)
      const child = ctx.startChild('open-into-death.ts', { name: '' })
      const { opened } = await child.next('done', 170_000)
      // Every call met death at more than one place.
      expect(opened).to.be.greaterThan(50)
    })
  })

  forEachOwnServer(
    (ctx) => {
      it('never ends the process, killed again and again while sessions are opened', async function () {
        this.timeout(180_000)
        const child = ctx.startChild('open-again-and-again.ts', { name: '' })
        for (let round = 0; round < 4; round++) {
          await child.next('opening', 60_000)
          await sleep(Math.random() * 100)
          await ctx.server.kill()
          await sleep(200)
          await ctx.server.restart()
        }
        await child.next('opening', 60_000)
        child.send({ type: 'stop' })
        await child.next('done')
        await ctx.reconnectOutsider()
      })
    },
    () => [],
  )
})
