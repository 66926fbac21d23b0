import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { NamedLockError, type NamedLockService } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import type { DataSource } from '../support/typeorms.js'
import { settlesWithin, until } from '../support/until.js'
import { hookStatements } from './statement-hook.js'

/** None of these takes more statements. */
const MOST = 60

/** What is under way when a connection dies. Everything from the first statement to the last of its farewell is sent in it. */
type Scenario = (locks: NamedLockService, dataSource: DataSource) => Promise<unknown>

describe('a connection that dies at any statement', () => {
  forEachDialect((ctx) => {
    const foreign = () => `${ctx.database}.foreign`

    const scenarios: Readonly<Record<string, Scenario>> = {
      'an ordinary lock': (locks) => locks.withLock('x', (lock) => lock.verify()),
      'several locks': (locks) => locks.withLock(['x', 'y', 'z'], (lock) => lock.fencingToken()),
      'a dedicated lock': (locks) =>
        locks.withLock('x', { session: 'dedicated' }, (lock) => lock.manager.query('SELECT 1')),
      'a transaction': (locks) => locks.transaction('x', (manager) => manager.query('SELECT 1')),
      "a lock of the application's transaction": (locks, dataSource) =>
        dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, 'x')
          await manager.query('SELECT 1')
        }),
      'a look at the locks': (locks) => Promise.all([locks.isLocked('x'), locks.holder('x'), locks.list()]),
      'a token from a table': (locks) => locks.withLock('x', (lock) => lock.fencingToken()),
      'a wait': async (locks) => {
        const isWaiting = new Promise((resolve) => locks.once('waiting', resolve))
        const waiting = locks.acquire('foreign', { timeout: '10s' })
        waiting.catch(() => undefined)
        await Promise.race([isWaiting, waiting.catch(() => undefined)])
        await sleep(30) // on its way to block
        await ctx.outsider.releaseLock(foreign())
        await (await waiting).release()
      },
      'a wait that is given up': async (locks) => {
        const controller = ctx.abortController()
        const isWaiting = new Promise((resolve) => locks.once('waiting', resolve))
        const waiting = locks.acquire('foreign', { timeout: '10s', signal: controller.signal })
        const gone = waiting.catch(() => undefined)
        await Promise.race([isWaiting, gone])
        await sleep(30)
        controller.abort(new NamedLockError('enough', { code: 'DATABASE' }))
        await waiting
      },
    }

    for (const kind of ['KILL', 'KILL QUERY'] as const) {
      it(`by ${kind}: every call ends, the next one has its lock, and nothing is left`, async function () {
        this.timeout(180_000)
        const dataSource = await ctx.dataSource({ poolSize: 6 })
        const killer = await ctx.connectOutsider()
        const hook = hookStatements(dataSource)
        /** The scenario, with that statement's connection killed; how many statements it came to. */
        const run = async (what: string, scenario: Scenario, victim: number): Promise<number> => {
          const where = `${what}, statement ${victim}`
          const options = what.includes('table') ? { fencing: { table: 'tokens' } } : {}
          const locks = await ctx.service({ timeout: '10s', ...options }, dataSource)
          if (what.startsWith('a wait')) await ctx.outsider.getLock(foreign())
          let sent = 0
          const kills: Promise<unknown>[] = []
          hook.afterSend = ({ connectionId }) => {
            if (sent++ === victim)
              kills.push(killer[kind === 'KILL' ? 'kill' : 'cancel'](connectionId).catch(() => undefined))
          }
          await settlesWithin(15_000, where, scenario(locks, dataSource).catch(onlyErrors))
          await ctx.outsider.releaseLock(foreign())
          await settlesWithin(15_000, `close() after ${where}`, locks.close())
          hook.afterSend = undefined
          await Promise.all(kills)
          const next = await ctx.service({}, dataSource)
          // The victim may still be in the pool, and its death unknown: that is the database's error.
          const again = () => next.withLock(['x', 'foreign'], { timeout: '5s' }, (lock) => lock.verify())
          expect(await until(`the locks after ${where}`, again, { within: 15_000 })).to.equal(true)
          await next.close()
          await ctx.expectNothingBorrowed(dataSource)
          return sent
        }
        const step = kind === 'KILL' ? 1 : 3
        for (const [what, scenario] of Object.entries(scenarios)) {
          const statements = await run(what, scenario, -1)
          expect(statements, `statements of ${what}`).to.be.within(3, MOST)
          for (let victim = Math.floor(Math.random() * step); victim < statements; victim += step)
            await run(what, scenario, victim)
        }
      })
    }
  })
})

function onlyErrors(error: unknown): undefined {
  if (error instanceof Error) return undefined
  throw new Error(`rejected with ${String(error)}`)
}
