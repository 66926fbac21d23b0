import { expect } from 'chai'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { typeorms } from '../support/typeorms.js'
import { Stock } from './support/stock.js'
import { fallVictim } from './support/victim.js'

/** The option `retry`: work runs again when the server has rolled its transaction back. */
describe('the repetition of a transaction', () => {
  forEachDialectAndTypeorm(
    (ctx) => {
      const stock = new Stock(ctx)

      beforeEach(() => stock.fill(8))

      it('runs the work again after a deadlock', async () => {
        const locks = await ctx.service()
        const others = await ctx.dataSource()
        let tries = 0
        const result = await locks.transaction('a', { retry: { deadlock: 2 } }, async (manager) => {
          if (++tries < 3) await fallVictim(ctx, stock, others, manager)
          else {
            await stock.add(manager, 0)
            await stock.add(manager, 1)
          }
          return `after ${tries} tries`
        })
        expect(result).to.equal('after 3 tries')
        expect([await stock.count(0), await stock.count(1), await stock.count(2)]).to.deep.equal([1, 1, 0])
      })
    },
    [...typeorms],
    'core',
  )
})
