import { expect } from 'chai'
import { forEachOwnServer } from '../support/conformance.js'
import { serverKinds } from '../support/servers.js'
import type { CountedRow } from '../support/fixtures/count-under-lock.js'
import { LostUpdateRun, print, type RunSettings } from './lost-update-run.js'

/** NAMED_LOCK_CHAOS=full: a minute for each way, one after the other, and the summaries are printed. */
const isFull = process.env.NAMED_LOCK_CHAOS === 'full'

const rows: readonly CountedRow[] = [
  { name: 'repeatable', way: 'transaction', isolation: 'REPEATABLE READ' },
  { name: 'committed', way: 'transaction', isolation: 'READ COMMITTED' },
  { name: 'apart', way: 'withLock', isolation: 'REPEATABLE READ' },
]

const runs: readonly RunSettings[] = isFull
  ? rows.map((row) => ({ processes: 8, callers: 10, rows: [row], seconds: 60, restarts: 2 }))
  : [{ processes: 2, callers: 4, rows, seconds: 3, restarts: 1 }]

describe('read, modify and write while lock connections are killed and the server restarts', () => {
  forEachOwnServer(
    (ctx) => {
      for (const settings of runs) {
        const ways = settings.rows.map(({ way, isolation }) => `${way} at ${isolation}`).join(', ')
        it(`adds up: ${ways}`, async function () {
          this.timeout((settings.seconds + 300) * 1_000)
          const summary = await new LostUpdateRun(ctx, settings).run()
          const text = print(ctx.kind, settings, summary)
          if (isFull) console.log(text)
          for (const { way, told, value, committed, unknownCommitted, missing, unwanted } of summary.rows) {
            expect(missing, text).to.deep.equal([])
            expect(told.counted, text).to.be.greaterThan(0)
            // A lock on a connection of its own cannot promise more: docs/transactions.md.
            if (way === 'withLock') continue
            expect(value, text).to.equal(committed)
            expect(value, text).to.equal(told.counted + unknownCommitted.length)
            expect(unwanted, text).to.deep.equal([])
          }
        })
      }
    },
    () => [],
    serverKinds,
  )
})
