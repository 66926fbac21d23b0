import { after, before, describe, it } from 'mocha'
import type { RunningServer } from '../../dev/servers/index.js'
import { expectNoUnhandledRejections, Resources, watchRejections } from '../support/leaks.js'
import { findPgBouncer } from '../support/pgbouncer.js'
import { dialectKinds, ownServer, type ServerKind } from '../support/servers.js'
import { SqlClient } from '../support/sql-client.js'
import { typeorms } from '../support/typeorms.js'
import { Scenario } from './scenario.js'
import { NotHere, Stage } from './stage.js'
import { table } from './table/index.js'
import type { Variation } from './variation.js'

/** NAMED_LOCK_MATRIX=full: every row. Else those that stand for their mechanism, on a server as it is. */
const isFull = process.env.NAMED_LOCK_MATRIX === 'full'

/** How many variations were run, and how many of them passed, by kind of server. */
const counts = new Map<ServerKind, { run: number; passed: number }>()

describe('locks under settings of servers, sessions, drivers and DataSources', () => {
  for (const kind of dialectKinds) {
    for (const [args, rows] of byServer(kind)) {
      describe(args.length === 0 ? kind : `${kind} ${args.join(' ')}`, () => onOneServer(kind, args, rows))
    }
  }

  after('count', () => {
    if (!isFull) return
    for (const [kind, { run, passed }] of counts) console.log(`      ${kind}: ${passed} of ${run} variations passed`)
  })
})

function byServer(kind: ServerKind): [readonly string[], Variation[]][] {
  const groups = new Map<string, [readonly string[], Variation[]]>()
  for (const row of table) {
    if (!row.kinds.includes(kind) || !(isFull || row.isFast)) continue
    const args = row.args ?? []
    const group = groups.get(args.join(' ')) ?? [args, []]
    groups.set(args.join(' '), group)
    group[1].push(row)
  }
  return [...groups.values()]
}

function onOneServer(kind: ServerKind, args: readonly string[], rows: readonly Variation[]): void {
  let server: RunningServer
  let outsider: SqlClient

  before('start the server', async function () {
    this.timeout(600_000)
    server = await ownServer(kind, args)
    outsider = await SqlClient.connect(server)
  })

  after('stop the server', async function () {
    this.timeout(60_000)
    await outsider?.end()
    await server?.stop()
  })

  for (const row of rows) {
    for (const typeorm of row.bothMajors && isFull ? typeorms : typeorms.slice(0, 1)) {
      const title = row.bothMajors ? `${row.name}, ${typeorm.name}` : row.name
      if (row.pgBouncer && findPgBouncer() === undefined) it(`${title} (needs PgBouncer)`)
      else
        it(title, async function () {
          this.timeout(90_000)
          const count = counts.get(kind) ?? { run: 0, passed: 0 }
          counts.set(kind, count)
          count.run++
          const failure = await run(new Stage(server, outsider, typeorm, row))
          if (failure instanceof NotHere) {
            count.run--
            this.test!.title += ` (needs ${failure.message})`
            this.skip()
          }
          if (failure !== undefined) throw failure as Error
          count.passed++
        })
    }
  }
}

/** What went wrong, if anything did. */
async function run(stage: Stage): Promise<unknown> {
  watchRejections()
  await new Promise((resolve) => setImmediate(resolve)) // mocha arms its own timer once it has the promise
  const resources = new Resources()
  let failure: unknown
  try {
    await stage.set()
    await new Scenario(stage).run()
  } catch (error) {
    failure = error
  }
  try {
    await stage.clear()
    await resources.expectNoMore()
    await expectNoUnhandledRejections()
  } catch (error) {
    failure ??= error
  }
  return failure
}
