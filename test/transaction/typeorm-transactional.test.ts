import { expect } from 'chai'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { typeorms } from '../support/typeorms.js'
import { decorated, direct, guarded, isolation, orders, outside } from './support/transaction-library.js'

/** docs/transactions-with-other-libraries.md says the same in words. */
describe('typeorm-transactional', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      it('takes part in transactions under a lock, or is refused', async () => {
        const child = ctx.startChild('transactional.ts', { name: 'notes' })
        const ambient = await child.next('ambient', 60_000)
        expect(ambient.direct, 'directly under the lock').to.deep.equal(direct)
        expect(ambient.decorated, 'in a decorated method under the lock').to.deep.equal(decorated)
        expect(ambient.orders).to.deep.equal(orders.ambient)
        expect(ambient.outside).to.deep.equal(outside)
        expect(ambient.isolation).to.deep.equal(isolation)
        expect(ambient.hooks, 'with the end of their method').to.deep.equal([
          'one that returns: commit',
          'one that returns: complete',
          'one that throws: rollback',
          'one that throws: complete',
          'end',
        ])
        const others = await child.next('guarded')
        expect(others.direct).to.deep.equal(guarded)
        expect(others.orders).to.deep.equal(orders.guarded)
        expect((await child.exited).code).to.equal(0)
      })
    },
    [...typeorms],
    'core',
  )
})
