import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { EntityManager } from 'typeorm'
import { NamedLockTimeoutError } from '../../src/index.js'
import { forEachDialect, type Conformance } from '../support/conformance.js'
import type { DataSource } from '../support/typeorms.js'
import { settlesWithin } from '../support/until.js'

const WORK = 20

/** Resolves to how it is given back, where that is not by the COMMIT. */
type Lock = (manager: EntityManager, name: string) => Promise<unknown>

/*
 * Callers of lockTransaction have a connection of the pool each while they wait. When they are as many as the pool has connections, no
 * wait may need another one.
 */
describe('a pool that is full of transactions that wait for a lock', () => {
  forEachDialect((ctx) => {
    for (const [poolSize, callers, names] of [
      [10, 15, 1],
      [10, 30, 1],
      [10, 60, 5],
      [3, 12, 2],
      [2, 9, 1],
    ] as const) {
      it(`serves all of them in about the time of their work: ${callers} on ${names} names with a pool of ${poolSize}`, async function () {
        this.timeout(120_000)
        const dataSource = await ctx.dataSource({ poolSize })
        const locks = await ctx.service({ timeout: '20s' }, dataSource)
        const reference = await timed(dataSource, callers, names, (m, name) => byHand(ctx, m, name))
        const { took, failed } = await timed(dataSource, callers, names, (m, name) => locks.lockTransaction(m, name))
        expect(failed).to.deep.equal([])
        expect(took).to.be.below(3 * reference.took + 1_500)
      })
    }

    it('serves them behind callers that still wait for a connection', async function () {
      this.timeout(60_000)
      const poolSize = 4
      const dataSource = await ctx.dataSource({ poolSize })
      const locks = await ctx.service({ timeout: '15s' }, dataSource)
      const others: Promise<unknown>[] = []
      let open = (): void => {}
      const gate = new Promise<void>((resolve) => (open = resolve))
      // Without one, no shared session is open when the pool is full.
      const transactions = Array.from({ length: poolSize }, () =>
        dataSource.transaction(async (manager) => {
          await manager.query('SELECT 1')
          await gate
          await locks.lockTransaction(manager, 'hot')
          await sleep(WORK)
        }),
      )
      await sleep(200)
      others.push(
        locks.withLock('hot', () => sleep(WORK)),
        locks.withLock('hot', { session: 'dedicated' }, () => sleep(WORK)),
        locks.transaction('hot', (manager) => manager.query('SELECT 1')),
        locks.withLock('hot', () => sleep(WORK)),
      )
      await sleep(50)
      open()
      await settlesWithin(8_000, 'all callers', Promise.all([...others, ...transactions]))
    })

    it('lets callers of every kind through, in any order, from two services', async function () {
      this.timeout(90_000)
      const dataSource = await ctx.dataSource({ poolSize: 4 })
      const services = [
        await ctx.service({ timeout: '30s' }, dataSource),
        await ctx.service({ timeout: '30s' }, dataSource),
      ]
      let inside = 0
      let most = 0
      const work = async (): Promise<void> => {
        most = Math.max(most, ++inside)
        await sleep(2)
        inside--
      }
      const calls = Array.from({ length: 80 }, async (_, i) => {
        const locks = services[i % 2]!
        await sleep(Math.random() * 100)
        if (i % 5 === 0) await locks.withLock('hot', work)
        else if (i % 5 === 1) await locks.transaction('hot', work)
        else if (i % 5 === 2) await locks.withLock('hot', { session: 'dedicated' }, work)
        else {
          await dataSource.transaction(async (manager) => {
            await locks.lockTransaction(manager, 'hot')
            await work()
          })
        }
      })
      await settlesWithin(60_000, 'all calls', Promise.all(calls))
      // The last statement of lockTransaction is its COMMIT, after the work.
      expect(most).to.equal(1)
    })

    it('ends the waits of all of them in time, and has its connections back', async function () {
      this.timeout(60_000)
      const dataSource = await ctx.dataSource({ poolSize: 5 })
      const locks = await ctx.service({}, dataSource)
      const stranger = await ctx.connectOutsider()
      await stranger.getLock(ctx.keyOf('hot'))
      const calls = Array.from({ length: 5 }, () =>
        dataSource.transaction((manager) => locks.lockTransaction(manager, 'hot', { timeout: 700 })),
      )
      const outcomes = await settlesWithin(5_000, 'all timeouts', Promise.allSettled(calls))
      for (const outcome of outcomes)
        expect((outcome as PromiseRejectedResult).reason).to.be.instanceOf(NamedLockTimeoutError)
      await stranger.releaseLock(ctx.keyOf('hot'))
      await locks.withLock('hot', async () => {})
      expect(await Promise.all(Array.from({ length: 5 }, () => dataSource.query('SELECT 1 AS one')))).to.have.length(5)
    })
  })
})

async function timed(
  dataSource: DataSource,
  callers: number,
  names: number,
  lock: Lock,
): Promise<{ took: number; failed: string[] }> {
  const startedAt = performance.now()
  const calls = Array.from({ length: callers }, (_, i) =>
    dataSource.transaction(async (manager) => {
      const release = await lock(manager, `hot${i % names}`)
      await manager.query('SELECT 1')
      await sleep(WORK)
      if (typeof release === 'string') await manager.query(release)
    }),
  )
  const outcomes = await Promise.allSettled(calls)
  const failed = outcomes.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []))
  return { took: performance.now() - startedAt, failed }
}

/** By the server's own function. */
async function byHand(ctx: Conformance, manager: EntityManager, name: string): Promise<string | undefined> {
  if (ctx.isPostgres) await manager.query(`SELECT pg_advisory_xact_lock(hashtext('${name}'))`)
  else await manager.query(`SELECT GET_LOCK('by-hand-${name}', 30)`)
  return ctx.isPostgres ? undefined : `SELECT RELEASE_LOCK('by-hand-${name}')`
}
