import { expect } from 'chai'
import { NamedLockDeadlockError } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { settlesWithin } from '../support/until.js'

describe('a deadlock within this process', () => {
  forEachDialectAndTypeorm((ctx) => {
    /** Every scope holds its own lock before any of them requests the next one's. */
    async function ring(size: number): Promise<unknown[]> {
      const locks = await ctx.service({ timeout: '15s' })
      const names = Array.from({ length: size }, (_, i) => `n${i}`)
      let arrived = 0
      let go = (): void => undefined
      const all = new Promise<void>((resolve) => (go = resolve))
      const scopes = names.map((name, i) =>
        locks.withLock(name, async () => {
          if (++arrived === size) go()
          await all
          return locks.withLock(names[(i + 1) % size]!, () => name)
        }),
      )
      const outcomes = scopes.map((scope) => scope.catch((error: unknown) => error))
      return settlesWithin(3_000, `a ring of ${size}`, Promise.all(outcomes))
    }

    for (const size of [2, 3, 5]) {
      it(`of ${size} scopes is an error for one of them at once, and the others get their locks`, async () => {
        const outcomes = await ring(size)
        const errors = outcomes.filter((outcome) => outcome instanceof Error)
        expect(errors).to.have.length(1)
        expect(errors[0]).to.be.instanceOf(NamedLockDeadlockError).with.property('code', 'DEADLOCK')
        expect((errors[0] as Error).message).to.match(/'n\d'/)
        expect(outcomes.filter((outcome) => typeof outcome === 'string')).to.have.length(size - 1)
      })
    }

    it('is not reported for a chain of waiting scopes', async () => {
      const locks = await ctx.service()
      const results = await Promise.all([
        locks.withLock('a', () => locks.withLock('b', () => locks.withLock('c', () => 1))),
        locks.withLock('b', () => locks.withLock('c', () => 2)),
        locks.withLock('c', () => 3),
        locks.withLock('a', () => locks.withLock('c', () => 4)),
      ])
      expect(results).to.deep.equal([1, 2, 3, 4])
    })
  })
})
