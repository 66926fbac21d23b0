import { expect } from 'chai'
import { NamedLock, NamedLockTimeoutError } from '../../src/index.js'
import { failStatements } from '../support/failing-statements.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { reasonOf, rejection } from '../support/rejection.js'

describe('withLock and tryWithLock', () => {
  forEachDialectAndTypeorm((ctx) => {
    it('hold the lock while the work runs, and return its result', async () => {
      const locks = await ctx.service()
      let key = ''
      const work = async (lock: NamedLock): Promise<string> => {
        key = lock.key
        expect(lock).to.be.instanceOf(NamedLock)
        expect(await ctx.outsider.getLock(key)).to.equal(false)
        return 'done'
      }
      expect(await locks.withLock('report', work)).to.equal('done')
      expect(await ctx.outsider.holderOf(key)).to.equal(null)
      expect(await locks.withLock('report', undefined, work)).to.equal('done')
      expect(await locks.withLock('report', { timeout: '1s' }, work)).to.equal('done')
      expect(await locks.tryWithLock('report', work)).to.deep.equal({ acquired: true, value: 'done' })
      expect(await locks.tryWithLock('report', { timeout: 100 }, work)).to.deep.equal({ acquired: true, value: 'done' })
      expect(await ctx.outsider.holderOf(key)).to.equal(null)
    })

    it('accept synchronous work', async () => {
      const locks = await ctx.service()
      expect(await locks.withLock('report', () => 42)).to.equal(42)
      expect(await locks.withLock('report', () => undefined)).to.equal(undefined)
      expect(await locks.tryWithLock('report', () => 42)).to.deep.equal({ acquired: true, value: 42 })
      expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
    })

    it('do not run the work without the lock', async () => {
      const locks = await ctx.service()
      const key = ctx.keyOf('report')
      await ctx.outsider.getLock(key)
      const work = () => expect.fail('the work ran')
      expect(await locks.tryWithLock('report', work)).to.deep.equal({ acquired: false })
      await rejection(locks.withLock('report', { timeout: 0 }, work), NamedLockTimeoutError)
      await ctx.outsider.releaseLock(key)
    })

    it('release the lock when the work fails, and rethrow its error', async () => {
      const locks = await ctx.service()
      const failures: unknown[] = [
        new TypeError('mine'),
        'a string',
        undefined,
        new NamedLockTimeoutError('of the work'),
      ]
      for (const failure of failures) {
        const works = [
          () => {
            throw failure
          },
          () => Promise.reject(failure),
        ]
        for (const work of works) {
          expect(await reasonOf(locks.withLock('report', work))).to.equal(failure)
          expect(await reasonOf(locks.tryWithLock('report', work))).to.equal(failure)
          expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
        }
      }
    })

    it('allow an early release: the end of the work then does nothing', async () => {
      const locks = await ctx.service()
      const result = await locks.withLock('report', async (lock) => {
        await lock.release()
        expect(await ctx.outsider.getLock(lock.key)).to.equal(true)
        return lock.key
      })
      expect(await ctx.outsider.holderOf(result)).to.equal(ctx.outsider.id)
      await ctx.outsider.releaseLock(result)
    })

    it("report a failed release as an event, never as an error instead of the work's result", async () => {
      const dataSource = await ctx.dataSource()
      const faults = failStatements(dataSource, /RELEASE_LOCK|RELEASE_ALL_LOCKS|IS_USED_LOCK|advisory_unlock|pg_locks/i)
      const locks = await ctx.service({}, dataSource)
      const events: unknown[] = []
      locks.on('releaseFailed', ({ name, error }) => events.push([name, error]))
      const mine = new Error('mine')

      const outcome = await locks.withLock('report', () => {
        faults.begin()
        return 'done'
      })
      expect(outcome).to.equal('done')
      expect(events).to.have.length(1)
      faults.end()

      const failed = locks.withLock('report', () => {
        faults.begin()
        throw mine
      })
      expect(await reasonOf(failed)).to.equal(mine)
      expect(events).to.have.length(2)
      for (const [name, error] of events as [string, unknown][]) {
        expect(name).to.equal('report')
        expect(error).to.be.instanceOf(Error)
      }
      faults.end()

      // In doubt the connection is destroyed, so the server has released the lock, and the service continues with
      // another one.
      expect(await locks.withLock('report', { timeout: '2s' }, () => 'again')).to.equal('again')
      expect(faults.count).to.be.greaterThan(1)
    })
  })
})
