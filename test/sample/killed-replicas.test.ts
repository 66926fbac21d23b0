import { expect } from 'chai'
import { describe, it } from 'mocha'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DataSource } from 'typeorm'
import { Feed } from '../../sample-app/live/feed.js'
import { Fleet } from '../../sample-app/live/fleet.js'
import { audit, type Audit } from '../../sample-app/supervisor/audit.js'
import { openDatabase, putUpForSale, withoutTables } from '../../sample-app/supervisor/database.js'
import { overlapsIn, Sections } from '../../sample-app/supervisor/sections.js'
import { randomName } from '../support/random-name.js'
import { connectRoot, dialectKinds, mysqlKinds, sharedServer } from '../support/servers.js'
import { until } from '../support/until.js'

const isFull = process.env.NAMED_LOCK_CHAOS === 'full'
const kills = isFull ? 60 : 4
const customers = 6
/** A sale takes 50 to 150 ms, so that a kill meets one of each event in the middle. */
const slowness = 25
const patiently = { within: 60_000, every: 25 }

/**
 * Each sale is one transaction under its lock, so that a replica which is killed between two statements of it loses
 * nothing. The books are compared all the time, not only at the end: an error could be gone by then.
 */
describe('the sample, with replicas that are killed', function () {
  this.timeout(isFull ? 600_000 : 120_000)

  for (const kind of [mysqlKinds[0]!, ...dialectKinds.filter((kind) => kind === 'postgres')]) {
    it(`keeps tickets, seats and money in agreement on ${kind}`, async function () {
      const database = randomName('kills')
      const root = await connectRoot(kind)
      await root.query(`CREATE DATABASE ${database}`)
      const url = new URL((await sharedServer(kind)).url)
      url.pathname = database
      const dataSource = await openDatabase(url.href)
      try {
        await withoutTables(dataSource, async () => {
          const { books, sections, interrupted, confirmed } = await saleWithKills(dataSource, url.href)
          expect(faultsOf(books)).to.equal('')
          expect(overlapsIn(sections.count()), 'two replicas in one section').to.equal(0)
          expect(sections.count()[0]).to.include({ lock: 'event:1' }).and.property('entries').above(kills)
          expect(interrupted, 'purchases that a kill interrupted').to.be.above(0)
          const paid = new Set(books.orders.filter((order) => order.paid).map(({ id }) => id))
          expect(confirmed.filter((id) => !paid.has(id))).to.deep.equal([])
          expect(confirmed.length).to.be.above(kills)
        })
      } finally {
        await dataSource.destroy()
        const gone = async () => (await root.connectionsOf(database)).length === 0
        await until('no connections are left', gone, patiently)
        await root.query(`DROP DATABASE ${database}`)
        await root.end()
      }
    })
  }
})

interface Result {
  readonly books: Audit
  readonly sections: Sections
  readonly interrupted: number
  /** The orders that customers have paid for, as far as they know. */
  readonly confirmed: readonly number[]
}

/** Sells tickets with two replicas, of which one after the other is killed at a random moment and started again. */
async function saleWithKills(dataSource: DataSource, databaseUrl: string): Promise<Result> {
  const feed = new Feed()
  const sections = new Sections(2)
  const fleet = new Fleet({ databaseUrl, slowness, replicas: 2, feed, sections, onChange: () => undefined })
  const end = new AbortController()
  let interrupted = 0
  const confirmed: number[] = []

  const customer = async (number: number): Promise<void> => {
    while (!end.signal.aborted) {
      const open = fleet.nextShop()
      if (!open) await sleep(20)
      else {
        const order = await open.shop.buy(1 + (number % 2), `customer ${number}`).catch(() => void interrupted++)
        if (order) confirmed.push(order.id)
      }
    }
  }
  const auditor = async (): Promise<void> => {
    while (!end.signal.aborted) {
      const faults = faultsOf(await audit(dataSource, 2))
      if (faults) throw new Error(`During the sale: ${faults}`)
      await sleep(50)
    }
  }
  const killer = async (): Promise<void> => {
    const areOpen = () => end.signal.aborted || fleet.replicas.every(({ status }) => status === 'open')
    for (let kill = 1; kill <= kills; kill++) {
      await until('both replicas are open', areOpen, patiently)
      await sleep(100 + Math.random() * 150, undefined, { signal: end.signal })
      await fleet.kill(1 + (kill % 2))
      fleet.start(1 + (kill % 2))
    }
    end.abort()
  }
  try {
    fleet.startAll()
    await until('a replica is open', () => fleet.nextShop(), patiently)
    await putUpForSale(dataSource, ['Opening night', 'Late show'], 100_000)
    const visits = Array.from({ length: customers }, (_, number) => customer(number))
    const parts = [auditor(), killer(), ...visits]
    await Promise.all(parts).catch(async (error: unknown) => {
      end.abort()
      await Promise.allSettled(parts)
      throw error
    })
    await settled(dataSource)
    return { books: await audit(dataSource, 2), sections, interrupted, confirmed }
  } finally {
    await fleet.close()
    feed.close()
  }
}

/** Waits for the settlement, which has a schedule of its own. */
async function settled(dataSource: DataSource): Promise<void> {
  await until('all orders are settled', async () => (await audit(dataSource, 2)).unsettled === 0, patiently)
}

function faultsOf({ replicas, events, orders, missingMoney, wrongStocks }: Audit): string {
  const sum = (figure: 'oversold' | 'duplicateSeats' | 'settledTwice') =>
    replicas.reduce((sum, books) => sum + books[figure], 0)
  const left = events.map(({ available }) => available).join(' and ')
  return [
    wrongStocks > 0 && `${orders.length} sold, ${left} left`,
    missingMoney !== 0 && `€${missingMoney} missing`,
    sum('oversold') > 0 && `${sum('oversold')} oversold`,
    sum('duplicateSeats') > 0 && `${sum('duplicateSeats')} seats sold twice`,
    sum('settledTwice') > 0 && `${sum('settledTwice')} settled twice`,
  ]
    .filter(Boolean)
    .join(', ')
}
