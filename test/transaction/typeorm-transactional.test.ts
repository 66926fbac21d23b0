import { expect } from 'chai'
import { forEachDatabase } from './support/each-database.js'

describe('typeorm-transactional', () => {
  forEachDatabase((ctx) => {
    it('with @WithNamedLock around its transaction is right, inside of it is an error that shows the ways out', async () => {
      const child = ctx.startChild('transactional.ts', { name: 'orders' })
      const around = await child.next('lockAround', 60_000)
      expect(around).to.include({ result: 'held elsewhere', count: 1, isLocked: false })
      for (const method of ['lockInside', 'oursInside']) {
        const inside = await child.next(method)
        expect(inside.result, method)
          .to.match(/^refused: /)
          .and.match(/lockTransaction/)
        expect(inside).to.include({ count: 1, isLocked: false })
      }
      expect(await child.next('lockTransaction')).to.include({ result: 'held here', count: 2, isLocked: false })
      expect(await child.next('nested')).to.include({ result: 'held here', count: 4, isLocked: false })
      expect(await child.next('ours')).to.include({ result: 'ours', count: 5, isLocked: false })
      expect((await child.exited).code).to.equal(0)
    })
  })
})
