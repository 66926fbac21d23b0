import { setTimeout as sleep } from 'node:timers/promises'
import type { DataSource } from 'typeorm'
import { now } from '../shop/clock.js'
import { audit, nothing, type Audit, type Books } from '../supervisor/audit.js'
import { putUpForSale, reason } from '../supervisor/database.js'
import { overlapsIn, type Sections } from '../supervisor/sections.js'
import { UserError } from '../supervisor/user-error.js'
import { Crowd, type Purchase } from './crowd.js'
import type { Feed } from './feed.js'
import type { Fleet } from './fleet.js'
import {
  addSale,
  noSale,
  noTotals,
  type Notice,
  type PreviousSale,
  type SaleState,
  type ShopState,
} from './shop-state.js'
import { verdictOf } from './verdict.js'

const titles = ['Opening night', 'Late show']
const capacity = 60
/** The limit of orders in one sale, because without locks it may take long to sell out. */
const mostOrders = 3 * capacity * titles.length
const lookInterval = 300
/** How long the last orders of a sale may take to be settled. */
const patienceWithSettlement = 6_000
/** The pause between two sales, for the user to read the verdict. */
const pauseBetweenSales = 5_000

const patienceAtTheEnd = 5_000

export interface BoxOfficeOptions {
  readonly dataSource: DataSource
  /** Product and version of the database. */
  readonly database: string
  readonly fleet: Fleet
  readonly feed: Feed
  readonly sections: Sections
  readonly customers: number
  readonly signal: AbortSignal
}

/** Runs one sale after the other until both events are sold out, and keeps the totals of all sales. */
export class BoxOffice {
  readonly #options: BoxOfficeOptions
  readonly #crowd: Crowd
  /** Resolves a while after the end of the sample was requested; the wait for the last orders then stops. */
  readonly #late: Promise<void>
  #locks = true
  #sale: SaleState = noSale
  #soldBy: readonly number[] = []
  #totals = { on: noTotals, off: noTotals }
  #previous: PreviousSale | null = null
  #problem: string | null = null

  constructor(options: BoxOfficeOptions) {
    this.#options = options
    this.#crowd = new Crowd(options.fleet)
    this.#crowd.resize(options.customers)
    this.#late = new Promise((resolve) => {
      options.signal.addEventListener('abort', () => setTimeout(resolve, patienceAtTheEnd), { once: true })
    })
  }

  /** Runs sales until the signal aborts. */
  async run(): Promise<void> {
    const { signal } = this.#options
    while (!signal.aborted) {
      try {
        await this.#oneSale()
      } catch (error) {
        if (signal.aborted) break
        this.#problem = `The database does not respond: ${reason(error)}`
        this.show()
        await this.#pause(1000)
      }
    }
    this.#crowd.end()
  }

  /** Takes effect with a new sale, so that each sale runs entirely with or without locks. */
  switchLocks(on: boolean): void {
    if (this.#locks === on) return
    this.#locks = on
    this.show()
  }

  setCustomers(count: number): void {
    this.#crowd.resize(count)
    this.show()
  }

  /** Buys a ticket for the user of the page. A purchase that fails is an answer like any other. */
  async buy(eventId: number): Promise<Purchase> {
    if (this.#sale.phase !== 'selling') return { outcome: 'closed' }
    try {
      return await this.#crowd.buy(eventId)
    } catch (error) {
      const message = error instanceof UserError ? error.message : 'The replica ended during the purchase. Try again.'
      return { outcome: 'failed', message }
    }
  }

  /** Publishes the state to all pages. */
  show(): void {
    const { fleet, feed, database } = this.#options
    const state: ShopState = {
      database,
      locks: this.#locks,
      customers: this.#crowd.size,
      sale: this.#sale,
      verdict: verdictOf(this.#sale, fleet.replicas.length),
      previous: this.#previous,
      replicas: fleet.replicas.map(({ number, status, process }) => ({
        number,
        status,
        pid: process?.pid ?? null,
        sold: this.#soldBy[number - 1] ?? 0,
      })),
      totals: this.#totals,
      notice: this.#problem === null ? noReplica(fleet) : { kind: 'error', text: this.#problem },
    }
    feed.showShop(state)
  }

  async #oneSale(): Promise<void> {
    const { dataSource, fleet, sections, signal } = this.#options
    await this.#replicasOpen()
    const locks = this.#locks
    if (locks !== this.#sale.locks) fleet.setLocks(locks)
    const events = await putUpForSale(dataSource, titles, capacity)
    sections.begin(now())
    fleet.markSale('saleBegins')
    this.#sale = { ...noSale, number: this.#sale.number + 1, locks, phase: 'selling' }
    await this.#look()
    this.#crowd.open(events.map((event) => event.id))

    while (!signal.aborted && this.#locks === locks && !this.#crowd.isSoldOut && this.#sale.sold < mostOrders) {
      await this.#pause(lookInterval)
      await this.#look()
    }
    const cutShort = this.#locks !== locks
    this.#sale = { ...this.#sale, phase: 'closing', cutShort }
    this.show()
    await this.#served()
    await this.#settled()
    fleet.markSale('saleEnds')
    this.#sale = { ...this.#sale, phase: 'over', nextAt: now() + (cutShort ? 0 : pauseBetweenSales) }
    const mode = locks ? 'on' : 'off'
    this.#totals = { ...this.#totals, [mode]: addSale(this.#totals[mode], this.#sale) }
    this.show()
    await this.#beforeTheNext(locks)
    const { number } = this.#sale
    this.#previous = { number, locks, conclusion: verdictOf(this.#sale, fleet.replicas.length).conclusion }
  }

  /** The pause between two sales. A switch of the locks ends it. */
  async #beforeTheNext(locks: boolean): Promise<void> {
    const isOver = () => now() >= this.#sale.nextAt! || this.#locks !== locks
    while (!this.#options.signal.aborted && !isOver()) await this.#pause(100)
  }

  /**
   * Lets the current customers finish. At the end of the sample they may be waiting for an unreachable database, so the
   * wait is limited.
   */
  async #served(): Promise<void> {
    await Promise.race([this.#crowd.close(), this.#late])
  }

  /** Waits until the settlement has paid for the last orders. */
  async #settled(): Promise<void> {
    const start = now()
    for (;;) {
      await this.#pause(lookInterval) // also for the last reports of the replicas
      const { unsettled } = await this.#look()
      if (unsettled === 0 || now() - start > patienceWithSettlement || this.#options.signal.aborted) return
    }
  }

  async #replicasOpen(): Promise<void> {
    while (!this.#options.signal.aborted && !this.#options.fleet.replicas.some(({ status }) => status === 'open')) {
      await this.#pause(100)
    }
  }

  /** Reads the state from the database and publishes it. */
  async #look(): Promise<Audit> {
    const { dataSource, fleet, sections } = this.#options
    const found = await audit(dataSource, fleet.replicas.length)
    const sum = (figure: keyof Books) => found.replicas.reduce((sum, books) => sum + books[figure], nothing[figure])
    this.#problem = null
    this.#soldBy = found.replicas.map((books) => books.orders)
    const locksUsed = sections.count()
    this.#sale = {
      ...this.#sale,
      events: found.events.map(({ id, title, capacity, available }) => {
        const seats = found.orders.filter((order) => order.eventId === id)
        return { id, title, capacity, available, seats: seats.map((order) => [order.seatNumber, order.replica]) }
      }),
      locksUsed,
      capacity: found.capacity,
      paid: found.paid,
      sold: sum('orders'),
      overlaps: overlapsIn(locksUsed),
      doubleBooked: found.doubleBooked,
      missingMoney: found.missingMoney,
      paidTwice: sum('settledTwice'),
      oversold: sum('oversold'),
    }
    this.show()
    return found
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#options.signal }).catch(() => undefined)
  }
}

function noReplica(fleet: Fleet): Notice | null {
  const isStopped = fleet.replicas.every(({ status }) => status === 'stopped')
  return isStopped ? { kind: 'info', text: 'No replica is running. Start one to continue the sale.' } : null
}
