import { expect } from 'chai'
import { NamedLockConfigurationError, NamedLockService, WithNamedLock } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import type { DataSource } from '../support/typeorms.js'
import { until } from '../support/until.js'

/** A class as users write it: it has only its DataSource. */
class Orders {
  static inside = 0
  static most = 0

  constructor(readonly dataSource: DataSource) {}

  @WithNamedLock('order', '10s')
  async pay(): Promise<void> {
    Orders.most = Math.max(Orders.most, ++Orders.inside)
    await this.dataSource.query('SELECT 1')
    Orders.inside--
  }
}

describe('the namespace of a DataSource', () => {
  forEachDialect((ctx) => {
    const namespace = `${ctx.database}_shop`

    beforeEach(() => {
      Orders.inside = Orders.most = 0
    })

    afterEach(() => NamedLockService.setDefault(undefined))

    /** The decorated method and `work` under the service's lock, one after the other or not. */
    async function together(dataSource: DataSource, locks: NamedLockService): Promise<number> {
      const orders = new Orders(dataSource)
      const calls = Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0
          ? orders.pay()
          : locks.withLock('order', { timeout: '10s' }, async () => {
              Orders.most = Math.max(Orders.most, ++Orders.inside)
              await dataSource.query('SELECT 1')
              Orders.inside--
            }),
      )
      await Promise.all(calls)
      return Orders.most
    }

    it('is that of the live service, for for() and for decorated methods', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({ namespace }, dataSource)
      expect(NamedLockService.for(dataSource)).to.equal(locks)
      expect(await together(dataSource, locks)).to.equal(1)
    })

    it('is that of earlier services, for one without the option', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({ namespace }, dataSource)
      const other = await ctx.service({ timeout: '5s' }, dataSource)
      const held = await locks.acquire('a')
      expect(held.key).to.equal(ctx.keyOf('a', namespace))
      expect(await other.tryAcquire('a')).to.equal(null)
      await held.release()
    })

    it('remains when the live service is closed', async () => {
      const dataSource = await ctx.dataSource()
      await (await ctx.service({ namespace }, dataSource)).close()
      const locks = ctx.adopt(NamedLockService.for(dataSource))
      const held = await locks.acquire('a')
      expect(held.key).to.equal(ctx.keyOf('a', namespace))
      await held.release()
      await locks.close()
      const again = await (await ctx.service({}, dataSource)).acquire('a')
      expect(again.key).to.equal(ctx.keyOf('a', namespace))
      await again.release()
    })

    it('may be another one passed explicitly, and then for() cannot choose between them', async () => {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({ namespace }, dataSource)
      const other = await ctx.service({ namespace: `${namespace}_2` }, dataSource)
      const both = new RegExp(`'${namespace}'.*'${namespace}_2'`)
      expect(() => NamedLockService.for(dataSource)).to.throw(NamedLockConfigurationError, both)
      expect(() => new NamedLockService(dataSource)).to.throw(NamedLockConfigurationError, both)
      const refused = await new Orders(dataSource).pay().catch((error: unknown) => error as Error)
      expect(refused).to.be.instanceOf(NamedLockConfigurationError)
      expect((refused as Error).message).to.match(/locks: \(self\) =>.*property.*setDefault/s)
      NamedLockService.setDefault(other)
      expect(NamedLockService.for(dataSource)).to.equal(other)
      expect(await together(dataSource, other)).to.equal(1)
      NamedLockService.setDefault(undefined)
      await other.close()
      expect(NamedLockService.for(dataSource)).to.equal(locks)
      expect(await together(dataSource, locks)).to.equal(1)
    })

    it('causes a warning when the service with the option is created second', async () => {
      const warnings: string[] = []
      const listener = (warning: Error) => void warnings.push(warning.message)
      process.on('warning', listener)
      try {
        const dataSource = await ctx.dataSource()
        ctx.adopt(NamedLockService.for(dataSource))
        await new Orders(dataSource).pay()
        await ctx.service({ namespace }, dataSource)
        await until('the warning', () => warnings.length === 1)
        expect(warnings[0]).to.include(`'${namespace}'`).and.include(`'${ctx.database}'`)
        expect(() => NamedLockService.for(dataSource)).to.throw(NamedLockConfigurationError)
        const refused = await new Orders(dataSource).pay().catch((error: unknown) => error)
        expect(refused).to.be.instanceOf(NamedLockConfigurationError)
      } finally {
        process.off('warning', listener)
      }
    })

    it('equals the default when the option has the same value', async () => {
      const dataSource = await ctx.dataSource()
      const locks = ctx.adopt(NamedLockService.for(dataSource))
      await ctx.service({ namespace: ctx.database }, dataSource)
      expect(NamedLockService.for(dataSource)).to.equal(locks)
    })
  })
})
