import { expect } from 'chai'
import { NamedLock, NamedLockService, WithNamedLock, type WithNamedLockOptions } from '../../src/index.js'
import { forEachDialectAndTypeorm, forEachDialect, type Conformance } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { typeorms } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'

/** Far longer than any closeTimeout here. */
const HOLD = '1h'
/** The closeTimeout of the service: close() would take at least that long if the hold did not end. */
const CLOSE_TIMEOUT = '20s'
/** An outer bound on a slow machine, and well below CLOSE_TIMEOUT. */
const SOON = 8_000

/** A class with one decorated method that returns `done` at once, with a long hold. */
function jobsWith(options: WithNamedLockOptions, name: string | string[] = 'job') {
  class Jobs {
    ended = 0
    lock: NamedLock<unknown> | undefined
    constructor(readonly locks: NamedLockService) {}

    @WithNamedLock(name, '5s', { holdAtLeast: HOLD, ...options } as never)
    async run(work: () => unknown = () => 'done'): Promise<unknown> {
      this.lock = NamedLock.current()
      try {
        return await work()
      } finally {
        this.ended++
      }
    }
  }
  return Jobs
}

describe('holdAtLeast and close()', () => {
  forEachDialectAndTypeorm((ctx) => {
    const service = () => ctx.service({ closeTimeout: CLOSE_TIMEOUT })
    const kinds: [string, WithNamedLockOptions][] = [
      ['an ordinary lock', {}],
      ['a transaction', { transaction: true }],
      ['a call that skips when busy', { onBusy: 'skip' } as never],
      ['a call that may be re-entrant', { reentrant: true }],
    ]
    for (const [what, options] of kinds) {
      it(`ends the hold of ${what} at once, and the call returns its result`, async () => {
        const locks = await service()
        const jobs = new (jobsWith(options))(locks)
        const running = jobs.run()
        await until('the end of the work', () => jobs.ended === 1)
        expect(await ctx.outsider.holderOf(ctx.keyOf('job')), 'the lock is held').to.not.equal(null)
        await settlesWithin(SOON, 'close()', locks.close())
        expect(await settlesWithin(1_000, 'the call', running)).to.equal('done')
        expect(await ctx.outsider.holderOf(ctx.keyOf('job'))).to.equal(null)
      })
    }

    it('ends all holds of a service, and of several names', async () => {
      const locks = await service()
      const all = [jobsWith({}, 'one'), jobsWith({}, ['two', 'three']), jobsWith({ transaction: true }, 'four')]
      const jobs = all.map((Jobs) => new Jobs(locks))
      const running = jobs.map((job) => job.run())
      await until('the end of the work', () => jobs.every(({ ended }) => ended === 1))
      await settlesWithin(SOON, 'close()', locks.close())
      expect(await Promise.all(running)).to.deep.equal(['done', 'done', 'done'])
    })

    it('rejects with the error of work that failed', async () => {
      const locks = await service()
      const jobs = new (jobsWith({}))(locks)
      const failed = rejection(
        jobs.run(() => Promise.reject(new RangeError('mine'))),
        RangeError,
      )
      await until('the end of the work', () => jobs.ended === 1)
      await settlesWithin(SOON, 'close()', locks.close())
      await failed
    })

    it('lets running work finish, and holds no lock after it', async () => {
      const locks = await service()
      const jobs = new (jobsWith({ transaction: true }))(locks)
      let finish: (value: string) => void = () => undefined
      const running = jobs.run(() => new Promise((resolve) => (finish = resolve)))
      await until('the work', () => jobs.lock !== undefined)
      const closing = locks.close()
      // The hold would begin only after the work.
      await new Promise((resolve) => setTimeout(resolve, 100))
      expect(jobs.lock?.isHeld).to.equal(true)
      finish('late')
      await settlesWithin(SOON, 'close()', closing)
      expect(await running).to.equal('late')
    })

    it('does not end a hold on the signal that cancels waits', async () => {
      const locks = await service()
      const controller = ctx.abortController()
      const jobs = new (jobsWith({ signal: controller.signal }))(locks)
      const running = jobs.run()
      await until('the end of the work', () => jobs.ended === 1)
      controller.abort(new Error('no more waiting'))
      expect(await locks.tryWithLock('job', () => 'free')).to.deep.equal({ acquired: false })
      await settlesWithin(SOON, 'close()', locks.close())
      expect(await running).to.equal('done')
    })
  }, typeorms)

  forEachDialect((ctx: Conformance) => {
    it('ends the holds of readers', async () => {
      const locks = await ctx.service({ closeTimeout: CLOSE_TIMEOUT })
      const jobs = new (jobsWith({ mode: 'read' }))(locks)
      const running = [jobs.run(), jobs.run()]
      await until('the end of the work', () => jobs.ended === 2)
      await settlesWithin(SOON, 'close()', locks.close())
      expect(await Promise.all(running)).to.deep.equal(['done', 'done'])
    })
  })
})
