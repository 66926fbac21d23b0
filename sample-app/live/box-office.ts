import { setTimeout as sleep } from 'node:timers/promises'
import type { DataSource } from 'typeorm'
import { audit, nothing, type Audit, type Books } from '../supervisor/audit.js'
import { putUpForSale, reason } from '../supervisor/database.js'
import { Crowd, type Purchase } from './crowd.js'
import type { Feed } from './feed.js'
import type { Fleet } from './fleet.js'
import { addSale, noTotals, type SaleState, type ShopState } from './shop-state.js'

const titles = ['Opening night', 'Late show']
const capacity = 60
/** The limit of orders in one sale, because without locks it may take long to sell out. */
const mostOrders = 5 * capacity * titles.length
const lookInterval = 300
/** A pause after a sale, for the settlement to run and for the user to see the result. */
const afterSale = { atLeast: 2_500, atMost: 6_000 }

const patienceAtTheEnd = 5_000

const noSale: SaleState = {
  number: 0,
  locks: true,
  phase: 'preparing',
  events: [],
  sold: 0,
  capacity: 0,
  oversold: 0,
  duplicateSeats: 0,
  missingMoney: 0,
  settledTwice: 0,
}

export interface BoxOfficeOptions {
  readonly dataSource: DataSource
  /** Product and version of the database. */
  readonly database: string
  readonly fleet: Fleet
  readonly feed: Feed
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
  #sale = noSale
  #soldBy: readonly number[] = []
  #totals = { on: noTotals, off: noTotals }
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

  buy(eventId: number): Promise<Purchase> {
    return this.#crowd.buy(eventId)
  }

  /** Publishes the state to all pages. */
  show(): void {
    const { fleet, feed, database } = this.#options
    const state: ShopState = {
      database,
      locks: this.#locks,
      customers: this.#crowd.size,
      sale: this.#sale,
      replicas: fleet.replicas.map(({ number, status, process }) => ({
        number,
        status,
        pid: process?.pid ?? null,
        sold: this.#soldBy[number - 1] ?? 0,
      })),
      totals: this.#totals,
      problem: this.#problem ?? noReplica(fleet),
    }
    feed.showShop(state)
  }

  async #oneSale(): Promise<void> {
    const { dataSource, fleet, signal } = this.#options
    await this.#replicasOpen()
    const locks = this.#locks
    if (locks !== this.#sale.locks) fleet.setLocks(locks)
    const events = await putUpForSale(dataSource, titles, capacity)
    this.#sale = { ...noSale, number: this.#sale.number + 1, locks, phase: 'selling' }
    await this.#look()
    this.#crowd.open(events.map((event) => event.id))

    while (!signal.aborted && this.#locks === locks && !this.#crowd.isSoldOut && this.#sale.sold < mostOrders) {
      await this.#pause(lookInterval)
      await this.#look()
    }
    this.#sale = { ...this.#sale, phase: 'closing' }
    this.show()
    await this.#served()
    await this.#settled()
    this.#sale = { ...this.#sale, phase: 'over' }
    const mode = locks ? 'on' : 'off'
    this.#totals = { ...this.#totals, [mode]: addSale(this.#totals[mode], this.#sale) }
    this.show()
  }

  /**
   * Lets the current customers finish. At the end of the sample they may be waiting for an unreachable database, so the
   * wait is limited.
   */
  async #served(): Promise<void> {
    await Promise.race([this.#crowd.close(), this.#late])
  }

  /**
   * Waits until the settlement has paid for the last orders, and long enough for the user to see the result. After a
   * switch of the locks, that pause is skipped.
   */
  async #settled(): Promise<void> {
    const { locks } = this.#sale
    const start = performance.now()
    for (;;) {
      const { unsettled } = await this.#look()
      const ms = performance.now() - start
      const seen = ms > (this.#locks === locks ? afterSale.atLeast : 0)
      if ((unsettled === 0 && seen) || ms > afterSale.atMost || this.#options.signal.aborted) return
      await this.#pause(lookInterval)
    }
  }

  async #replicasOpen(): Promise<void> {
    while (!this.#options.signal.aborted && !this.#options.fleet.replicas.some(({ status }) => status === 'open')) {
      await this.#pause(100)
    }
  }

  /** Reads the state from the database and publishes it. */
  async #look(): Promise<Audit> {
    const { dataSource, fleet } = this.#options
    const found = await audit(dataSource, fleet.replicas.length)
    const sum = (figure: keyof Books) => found.replicas.reduce((sum, books) => sum + books[figure], nothing[figure])
    this.#problem = null
    this.#soldBy = found.replicas.map((books) => books.orders)
    this.#sale = {
      ...this.#sale,
      events: found.events.map(({ id, title, capacity, available }) => {
        const seats = found.orders.filter((order) => order.eventId === id)
        return { id, title, capacity, available, seats: seats.map((order) => [order.seatNumber, order.replica]) }
      }),
      sold: sum('orders'),
      capacity: found.capacity,
      oversold: sum('oversold'),
      duplicateSeats: sum('duplicateSeats'),
      missingMoney: found.missingMoney,
      settledTwice: sum('settledTwice'),
    }
    this.show()
    return found
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#options.signal }).catch(() => undefined)
  }
}

function noReplica(fleet: Fleet): string | null {
  const states = fleet.replicas.map(({ status }) => status)
  if (states.includes('open')) return null
  return states.includes('starting') ? 'The replicas are starting …' : 'No replica is running. Start one.'
}
