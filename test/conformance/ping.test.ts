import { expect } from 'chai'
import { NamedLockClosedError, NamedLockConfigurationError, NamedLockTimeoutError } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'

describe('ping', () => {
  forEachDialect((ctx) => {
    it('resolves to the time that a lock takes, and leaves nothing behind', async () => {
      const locks = await ctx.service()
      const events: string[] = []
      locks.on('acquired', ({ name }) => events.push(name))
      const held = await locks.acquire('held')
      for (const time of await Promise.all([locks.ping(), locks.ping('5s'), locks.ping(5_000)])) {
        expect(time).to.be.within(0, 5_000)
      }
      expect((await locks.list()).map(({ key }) => key)).to.deep.equal([held.key])
      expect(events).to.deep.equal(['held'])
      await held.release()
      await rejection(locks.ping('soon' as '5s'), NamedLockConfigurationError)
      await locks.close()
      await rejection(locks.ping(), NamedLockClosedError)
    })

    it('rejects when the server is silent for longer than its timeout', async () => {
      const proxy = await ctx.proxy()
      const locks = await ctx.service({}, await ctx.dataSource({ port: proxy.port }))
      await locks.ping()
      proxy.blackHole()
      const error = await rejection(locks.ping(200), NamedLockTimeoutError)
      expect(error.message).to.match(/within 200 ms/)
      proxy.heal()
      expect(await locks.ping()).to.be.a('number')
    })
  })
})
