import { setTimeout as sleep } from 'node:timers/promises'
import { UserError } from '../supervisor/user-error.js'
import type { Fleet } from './fleet.js'

/** The pause of a customer between two tickets, in milliseconds. */
const pause = { from: 150, to: 600 }
const afterFailure = 500

/** A ticket, or the reason why there is none: sold out, between two sales, or an error. */
export type Purchase =
  | {
      readonly outcome: 'sold'
      readonly replica: number
      readonly seat: number
      readonly eventId: number
      readonly ms: number
    }
  | { readonly outcome: 'soldOut'; readonly replica: number; readonly eventId: number }
  | { readonly outcome: 'closed' }
  | { readonly outcome: 'failed'; readonly message: string }

/** The customers: a given number, each buying one ticket after the other. */
export class Crowd {
  readonly #fleet: Fleet
  readonly #visits = new Set<Promise<unknown>>()
  #members = 0
  #size = 0
  /** Events with tickets left; empty when the box office is closed. */
  #onSale: number[] = []
  #customers = 0
  #over = false

  constructor(fleet: Fleet) {
    this.#fleet = fleet
  }

  get size(): number {
    return this.#size
  }

  /** Whether all events are sold out. */
  get isSoldOut(): boolean {
    return this.#onSale.length === 0
  }

  resize(size: number): void {
    this.#size = size
    while (this.#members < this.#size && !this.#over) {
      this.#members++
      void this.#member()
    }
  }

  open(eventIds: readonly number[]): void {
    this.#onSale = [...eventIds]
  }

  /** Stops new purchases, and resolves when all current ones have finished. */
  async close(): Promise<void> {
    this.#onSale = []
    while (this.#visits.size > 0) await Promise.allSettled(this.#visits)
  }

  end(): void {
    this.#over = true
  }

  /** One customer buys one ticket. Rejects when that fails. */
  async buy(eventId: number): Promise<Purchase> {
    const open = this.#fleet.nextShop()
    if (!open) throw new UserError('No replica is running. Start one.')
    const { number: replica, shop } = open
    const startedAt = performance.now()
    const visit = shop.buy(eventId, `customer ${++this.#customers}`)
    this.#visits.add(visit)
    try {
      const order = await visit
      if (!order) {
        this.#onSale = this.#onSale.filter((id) => id !== eventId)
        return { outcome: 'soldOut', replica, eventId }
      }
      return { outcome: 'sold', replica, eventId, seat: order.seatNumber, ms: performance.now() - startedAt }
    } finally {
      this.#visits.delete(visit)
    }
  }

  async #member(): Promise<void> {
    while (this.#members <= this.#size && !this.#over) {
      await sleep(pause.from + Math.random() * (pause.to - pause.from), undefined, { ref: false })
      const eventId = this.#onSale[Math.floor(Math.random() * this.#onSale.length)]
      if (eventId === undefined) continue
      // The replica was killed during the order, or the database is unreachable: retry on another replica.
      await this.buy(eventId).catch(() => sleep(afterFailure, undefined, { ref: false }))
    }
    this.#members--
  }
}
