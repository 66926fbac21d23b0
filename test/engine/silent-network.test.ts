import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { NamedLockTimeoutError } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin } from '../support/until.js'

const TIMEOUT = 500
/** The lease is 30 s: a call that waits for its end takes far longer. */
const SOON = 5_000
/** A release without an answer takes 3 s: a caller that waits for it takes longer. lockTransaction may wait for its connection. */
const graceOf = (name: string): number => (name === 'lockTransaction' ? SOON : 2_000)

/*
 * Every caller has its answer in time, whatever the network does. What is to be given back or cancelled goes on without it.
 */
describe('a network that falls silent', () => {
  forEachDialect((ctx) => {
    async function behindProxy() {
      const proxy = await ctx.proxy()
      const dataSource = await ctx.dataSource({ port: proxy.port })
      const locks = await ctx.service({}, dataSource)
      // With sessions of both kinds, as after some time of use.
      await locks.withLock('warm', () => {})
      await locks.transaction('warm', () => {})
      const stranger = await ctx.connectOutsider()
      await stranger.getLock(ctx.keyOf('b'))
      return { proxy, dataSource, locks, stranger }
    }

    type Behind = Awaited<ReturnType<typeof behindProxy>>
    type Options = { timeout: number; signal?: AbortSignal }
    const waits: Record<string, (behind: Behind, options: Options) => Promise<unknown>> = {
      withLock: ({ locks }, options) => locks.withLock(['a', 'b'], options, () => {}),
      acquire: ({ locks }, options) => locks.acquire(['a', 'b'], options),
      dedicated: ({ locks }, options) => locks.withLock(['a', 'b'], { ...options, session: 'dedicated' }, () => {}),
      transaction: ({ locks }, options) => locks.transaction(['a', 'b'], options, () => {}),
      lockTransaction: ({ locks, dataSource }, options) =>
        dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, 'a')
          await locks.lockTransaction(manager, 'b', options)
        }),
    }

    for (const [name, wait] of Object.entries(waits)) {
      it(`does not keep a caller of ${name} longer than its timeout`, async function () {
        this.timeout(60_000)
        const behind = await behindProxy()
        const call = rejection(wait(behind, { timeout: TIMEOUT }), NamedLockTimeoutError)
        await sleep(200)
        behind.proxy.blackHole()
        await settlesWithin(TIMEOUT + graceOf(name), 'the timeout', call)
        behind.proxy.reset()
        await behind.stranger.releaseLock(ctx.keyOf('b'))
        behind.proxy.heal()
        // Nothing is left: both can be acquired again.
        await settlesWithin(
          30_000,
          'the locks',
          behind.locks.withLock(['a', 'b'], { timeout: '25s' }, () => {}),
        )
      })

      it(`does not keep a caller of ${name} that aborts`, async function () {
        this.timeout(60_000)
        const behind = await behindProxy()
        const controller = ctx.abortController()
        const reason = new Error('not wanted any more')
        const call = rejection(wait(behind, { timeout: 60_000, signal: controller.signal }))
        await sleep(200)
        behind.proxy.blackHole()
        await sleep(200)
        controller.abort(reason)
        expect(await settlesWithin(graceOf(name), 'the abort', call)).to.equal(reason)
        behind.proxy.reset()
        await behind.stranger.releaseLock(ctx.keyOf('b'))
        behind.proxy.heal()
        await settlesWithin(
          30_000,
          'the locks',
          behind.locks.withLock(['a', 'b'], { timeout: '25s' }, () => {}),
        )
      })
    }

    it('does not keep a holder that releases, nor a call after its work has ended', async function () {
      this.timeout(60_000)
      const { proxy, locks } = await behindProxy()
      const lock = await locks.acquire('a')
      let end = (): void => {}
      const call = locks.withLock('c', () => new Promise<string>((resolve) => (end = () => resolve('done'))))
      await sleep(200)
      proxy.blackHole()
      end()
      await settlesWithin(SOON, 'release()', lock.release())
      expect(await settlesWithin(SOON, 'withLock', call)).to.equal('done')
      proxy.reset()
      proxy.heal()
      await settlesWithin(
        30_000,
        'the locks',
        locks.withLock(['a', 'c'], { timeout: '25s' }, () => {}),
      )
    })

    it('does not keep callers that only ask or try', async function () {
      this.timeout(60_000)
      const { proxy, dataSource } = await behindProxy()
      const locks = await ctx.service({ timeout: TIMEOUT }, dataSource)
      await locks.withLock('warm', () => {})
      proxy.blackHole()
      await settlesWithin(
        SOON,
        'all answers',
        Promise.all([
          rejection(locks.isLocked('a')),
          rejection(locks.holder('a')),
          rejection(locks.tryAcquire('a')),
          rejection(locks.tryWithLock('d', () => {})),
        ]),
      )
      proxy.reset()
      proxy.heal()
    })
  })
})
