import { expect } from 'chai'
import { NamedLockDeadlockError, NamedLockTimeoutError, type NamedLockService } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { settlesWithin } from '../support/until.js'

type Step = () => Promise<unknown>

describe('cycles of locks inside this process', () => {
  forEachDialect((ctx) => {
    /** Both have their first lock before either asks for its second. */
    function meeting(size = 2): Step {
      let missing = size
      let go = (): void => undefined
      const all = new Promise<void>((resolve) => (go = resolve))
      return () => {
        if (--missing === 0) go()
        return all
      }
    }

    async function outcomes(...steps: Step[]): Promise<unknown[]> {
      const all = steps.map((step) => step().catch((error: unknown) => error))
      return settlesWithin(3_000, 'all of them', Promise.all(all))
    }

    function expectOneDeadlock(results: unknown[]): void {
      const errors = results.filter((result) => result instanceof Error)
      expect(errors, String(errors)).to.have.length(1)
      expect(errors[0]).to.be.instanceOf(NamedLockDeadlockError)
    }

    const service = (): Promise<NamedLockService> => ctx.service({ timeout: '20s' })

    it('are seen with locks on connections of their own, and with transactions', async () => {
      const locks = await service()
      const both = meeting()
      const results = await outcomes(
        () => locks.withLock('a', { session: 'dedicated' }, () => both().then(() => locks.withLock('b', () => 1))),
        () => locks.withLock('b', () => both().then(() => locks.withLock('a', { session: 'dedicated' }, () => 2))),
      )
      expectOneDeadlock(results)
      const again = meeting()
      const others = await outcomes(
        () => locks.transaction('a', () => again().then(() => locks.transaction('b', () => 1).catch(rethrow))),
        () => locks.withLock('b', () => again().then(() => locks.withLock('a', () => 2))),
      )
      // Inside of a transaction of the library another one may be refused for its own reason.
      expect(others.filter((result) => result instanceof Error)).to.have.length(1)
    })

    it('are seen when the second locks are asked for by a handle', async () => {
      const locks = await service()
      const both = meeting()
      const work = (mine: string, other: string) => () =>
        locks.withLock(mine, () => both().then(async () => (await locks.acquire(other)).release()))
      expectOneDeadlock(await outcomes(work('a', 'b'), work('b', 'a')))
    })

    it('are seen across branches of one scope, and deep inside it', async () => {
      const locks = await service()
      const both = meeting()
      const results = await outcomes(
        () =>
          locks.withLock('a', () =>
            Promise.all([
              locks.withLock('x', () => both().then(() => locks.withLock('b', () => 1))),
              locks.withLock('y', () => undefined),
            ]),
          ),
        () => locks.withLock('b', () => locks.withLock('z', () => both().then(() => locks.withLock('a', () => 2)))),
      )
      expectOneDeadlock(results)
    })

    it('are seen across the services of a DataSource, and not across their namespaces', async () => {
      const dataSource = await ctx.dataSource()
      const one = await ctx.service({ timeout: '20s' }, dataSource)
      const other = await ctx.service({ timeout: '20s', maxSessions: 1 }, dataSource)
      const both = meeting()
      const results = await outcomes(
        () => one.withLock('a', () => both().then(() => other.withLock('b', () => 1))),
        () => other.withLock('b', () => both().then(() => one.withLock('a', () => 2))),
      )
      expectOneDeadlock(results)
      const inThree = meeting(3)
      const stranger = await ctx.service({ timeout: '20s', namespace: 'elsewhere' }, dataSource)
      const others = await outcomes(
        () => one.withLock('a', () => inThree().then(() => stranger.withLock('b', () => 1))),
        () => other.withLock('b', () => inThree().then(() => one.withLock('a', () => 2))),
        () => stranger.withLock('a', () => inThree()),
      )
      expect(others).to.deep.equal([1, 2, undefined])
    })

    it('are none: several names in any order', async () => {
      const locks = await service()
      const orders = [
        ['a', 'b', 'c'],
        ['c', 'b', 'a'],
        ['b', 'c', 'a'],
        ['c', 'a'],
        ['b', 'a'],
      ]
      const calls = Array.from({ length: 100 }, (_, i) => () => locks.withLock(orders[i % orders.length]!, () => i))
      expect(await outcomes(...calls)).to.deep.equal(calls.map((_, i) => i))
    })

    it('are none: a wait that can be aborted', async () => {
      const locks = await service()
      const both = meeting()
      const controller = ctx.abortController()
      const { signal } = controller
      const aborted = new Error('enough')
      setTimeout(() => controller.abort(aborted), 300)
      const results = await outcomes(
        () => locks.withLock('a', () => both().then(() => locks.withLock('b', { signal }, () => 1))),
        () => locks.withLock('b', () => both().then(() => locks.withLock('a', () => 2))),
      )
      expect(results).to.deep.equal([aborted, 2])
    })

    it('are none: a lock of a handle, which any code may release', async () => {
      const locks = await service()
      const both = meeting()
      const results = await outcomes(
        async () => {
          const lock = await locks.acquire('a')
          await both()
          setTimeout(() => void lock.release(), 200)
          return locks.withLock('b', () => 1)
        },
        () => locks.withLock('b', () => both().then(() => locks.withLock('a', () => 2))),
      )
      expect(results).to.deep.equal([1, 2])
    })

    it('are none: waits that are over', async () => {
      const locks = await service()
      const both = meeting()
      const results = await outcomes(
        () =>
          locks.withLock('a', async () => {
            await both()
            // Its own end comes first, long before any other caller asks for its lock.
            const error: unknown = await locks.withLock('b', { timeout: 50 }, () => 0).catch((e: unknown) => e)
            expect(error).to.be.instanceOf(NamedLockTimeoutError)
            return 1
          }),
        () =>
          locks.withLock('b', async () => {
            await both()
            await new Promise((resolve) => setTimeout(resolve, 150))
            return locks.withLock('a', () => 2)
          }),
      )
      expect(results).to.deep.equal([1, 2])
    })
  })
})

function rethrow(error: unknown): never {
  throw error
}
