import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AcquireOptions, NamedLock, NamedLockService, NamedLockServiceOptions } from '../../src/index.js'
import { forEachDialect, forEachOwnServer } from '../support/conformance.js'
import { until } from '../support/until.js'

type Take = (locks: NamedLockService) => Promise<bigint>

const token = (lock: NamedLock): Promise<bigint> => lock.fencingToken()
const under =
  (options: AcquireOptions = {}): Take =>
  (locks) =>
    locks.withLock('a', options, token)

/** Every way to hold a lock, with the service's options for it. */
const WAYS: Record<string, [Take, NamedLockServiceOptions?, 'postgres'?]> = {
  withLock: [under()],
  dedicated: [under({ session: 'dedicated' })],
  'dedicated, inside a transaction of the work': [
    (locks) =>
      locks.withLock('a', { session: 'dedicated' }, (lock) => lock.manager.transaction(() => lock.fencingToken())),
  ],
  transaction: [(locks) => locks.transaction('a', (_manager, lock) => lock.fencingToken())],
  "pooling: 'transaction'": [
    (locks) => locks.transaction('a', (_manager, lock) => lock.fencingToken()),
    { pooling: 'transaction' },
    'postgres',
  ],
  'from a table': [under(), { fencing: { table: 'tokens' } }],
}

/** What a server of PostgreSQL may be told about how it writes. */
const SERVERS: Record<string, readonly string[]> = {
  'as it comes': [],
  'synchronous_commit=off': ['-c', 'synchronous_commit=off'],
  'wal_level=minimal': ['-c', 'wal_level=minimal', '-c', 'max_wal_senders=0', '-c', 'synchronous_commit=off'],
}

const ROUNDS = process.env.NAMED_LOCK_CHAOS === 'full' ? 6 : 2

const highest = (tokens: readonly bigint[]): bigint => tokens.reduce((a, b) => (a > b ? a : b), 0n)

describe('fencing tokens', () => {
  forEachDialect((ctx) => {
    it('rise from holder to holder, whichever way they hold, and within a transaction', async () => {
      const dataSource = await ctx.dataSource()
      await ctx.outsider.query(`CREATE TABLE IF NOT EXISTS ${ctx.database}.written (n INT)`)
      const locks = await ctx.service({}, dataSource)
      let last = 0n
      const check = (next: bigint, what: string): void => {
        expect(next > last, `${what}: ${next} after ${last}`).to.equal(true)
        last = next
      }
      for (const [way, [take, options, only]] of Object.entries(WAYS)) {
        if (options || (only && only !== ctx.kind)) continue
        check(await take(locks), way)
      }
      await locks.transaction('a', async (manager, lock) => {
        await manager.query(`INSERT INTO ${ctx.database}.written VALUES (1)`)
        check(await lock.fencingToken(), 'once in a transaction that has written')
        check(await lock.fencingToken(), 'twice')
      })
      await locks.withLock(['a', 'b'], async (several) => check(await several.fencingToken(), 'several'))
      check(await under()(locks), 'one')
    })
  })

  for (const [title, args] of Object.entries(SERVERS)) {
    describe(title, () => {
      forEachOwnServer(
        (ctx) => {
          it('go on rising when the server is killed while they are taken', async function () {
            this.timeout(400_000)
            const ways = Object.entries(WAYS).filter(([, [, , only]]) => !only || only === ctx.kind)
            const seen = new Map(ways.map(([way]) => [way, 0n]))
            for (let round = 0; round < ROUNDS; round++) {
              const taken = new Map<string, bigint[]>()
              const errors = new Map<string, unknown>()
              let isOver = false
              const goers = ways.map(async ([way, [take, options]]) => {
                const tokens: bigint[] = []
                taken.set(way, tokens)
                const dataSource = await ctx.dataSource({ poolSize: 4 })
                const locks = await ctx.service({ ...options, namespace: way, timeout: '10s' }, dataSource)
                // All but the counters of a table are one row of numbers for all keys.
                const isCounter = options?.fencing !== undefined
                while (!isOver) {
                  const next = await take(locks).catch((error: unknown) => void errors.set(way, error))
                  if (next === undefined) {
                    if (!isOver) await sleep(10)
                    continue
                  }
                  const floor = isCounter ? seen.get(way)! : highest([...seen.values()])
                  expect(next > floor, `${way}, round ${round}: ${next} after a crash, ${floor} before`).to.equal(true)
                  tokens.push(next)
                }
              })
              const isEnough = () => ways.every(([way]) => (taken.get(way)?.length ?? 0) >= 25)
              const failures = Promise.all(goers)
              failures.catch(() => {}) // also awaited below
              const enough = until('tokens of every way', isEnough, { within: 120_000 }).catch((error: Error) => {
                const state = ways.map(([way]) => `${way}: ${taken.get(way)?.length}, ${String(errors.get(way))}`)
                throw new Error(`${error.message}, round ${round}: ${state.join('; ')}`)
              })
              await Promise.race([enough, failures]) // a token that is too low ends its way, and the test
              await sleep(Math.random() * 30)
              await ctx.server.kill()
              isOver = true
              await failures
              for (const [way, tokens] of taken) seen.set(way, highest([seen.get(way)!, ...tokens]))
              // UUID_SHORT() begins with the second of the server's start: the same for two starts within one.
              if (ctx.kind !== 'postgres') await sleep(1_000)
              await ctx.server.restart()
            }
            await ctx.reconnectOutsider()
          })
        },
        (kind) => (kind === 'postgres' || args.length === 0 ? args : undefined),
      )
    })
  }
})
