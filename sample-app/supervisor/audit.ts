import type { DataSource } from 'typeorm'
import { Event } from '../shop/entities/event.js'
import { Order } from '../shop/entities/order.js'
import { Payout } from '../shop/entities/payout.js'
import { Seat } from '../shop/entities/seat.js'
import { Till } from '../shop/entities/till.js'

/** A replica's work according to the database. Of two conflicting orders, the later one counts. */
export interface Books {
  /** Orders in the database. */
  orders: number
  /** Orders for an event that was already sold out. */
  oversold: number
  /** Orders for a seat that was already taken. */
  duplicateSeats: number
  /** Orders for which the organiser was paid. */
  settled: number
  /** Orders that were settled a second time. */
  settledTwice: number
}

export const nothing: Readonly<Books> = { orders: 0, oversold: 0, duplicateSeats: 0, settled: 0, settledTwice: 0 }

export interface Audit {
  /** In the order of the replicas. */
  readonly replicas: readonly Books[]
  readonly events: readonly Event[]
  readonly orders: readonly Order[]
  /** Seats that were sold more than once. */
  readonly doubleBooked: number
  /** What customers have paid. */
  readonly paid: number
  /** Orders that were paid for, and for which the organiser was not paid. */
  readonly unsettled: number
  readonly unpaid: number
  /** Money that customers paid and that is in no till. */
  readonly missingMoney: number
  /** The maximum number of tickets. */
  readonly capacity: number
  /** Events with a number of remaining tickets or of taken seats that contradicts the orders. */
  readonly wrongStocks: number
}

/** Counts the rows in the database, independent of the replicas' reports. */
export async function audit(dataSource: DataSource, replicas: number): Promise<Audit> {
  // One snapshot: a customer may pay between two reads.
  const [events, tills, seats, orders, payouts] = await dataSource.transaction('REPEATABLE READ', async (manager) => [
    await manager.find(Event, { order: { id: 'ASC' } }),
    await manager.find(Till),
    await manager.find(Seat),
    await manager.find(Order, { order: { id: 'ASC' } }),
    await manager.find(Payout, { order: { id: 'ASC' } }),
  ])

  const books: Books[] = Array.from({ length: replicas }, () => ({ ...nothing }))
  const sold = new Tally()
  const booked = new Tally()
  const taken = new Tally()
  const paidOut = new Tally()
  const capacity = new Map(events.map((event) => [event.id, event.capacity]))
  for (const { eventId, seatNumber, replica } of orders) {
    const book = books[replica - 1]!
    book.orders++
    if (sold.add(eventId) > capacity.get(eventId)!) book.oversold++
    if (booked.add(`${eventId}/${seatNumber}`) > 1) book.duplicateSeats++
  }
  for (const { eventId } of seats) taken.add(eventId)
  const known = new Set(orders.map((order) => order.id))
  for (const { orderId, replica } of payouts) {
    if (!known.has(orderId)) continue
    const book = books[replica - 1]!
    const times = paidOut.add(orderId)
    if (times === 1) book.settled++
    if (times === 2) book.settledTwice++
  }

  const paid = orders.filter((order) => order.paid)
  const price = new Map(events.map((event) => [event.id, event.price]))
  const money = paid.reduce((sum, { eventId }) => sum + price.get(eventId)!, 0)
  return {
    replicas: books,
    events,
    orders,
    doubleBooked: booked.repeated,
    paid: money,
    unsettled: paid.filter((order) => !order.settled).length,
    unpaid: orders.length - paid.length,
    missingMoney: money - tills.reduce((sum, { amount }) => sum + amount, 0),
    capacity: events.reduce((sum, event) => sum + event.capacity, 0),
    wrongStocks: events.filter(({ id, capacity, available }) => {
      return available !== capacity - sold.count(id) || taken.count(id) !== sold.count(id)
    }).length,
  }
}

class Tally {
  readonly #counts = new Map<number | string, number>()

  add(what: number | string): number {
    const count = this.count(what) + 1
    this.#counts.set(what, count)
    return count
  }

  /** How many were added more than once. */
  get repeated(): number {
    return [...this.#counts.values()].filter((count) => count > 1).length
  }

  count(what: number | string): number {
    return this.#counts.get(what) ?? 0
  }
}
