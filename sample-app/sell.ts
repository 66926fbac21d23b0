import type { NamedLockService } from './named-lock.js'
import type { OrderService } from './order-service.js'

/** Somebody who wants a ticket. */
export interface Wish {
  readonly eventId: number
  readonly customer: string
}

/** How a replica served its customers. */
export interface Sales {
  readonly sold: number
  readonly soldOut: number
  readonly failures: readonly string[]
  /** How many orders found their event locked. */
  readonly waited: number
  /** How long each order waited for its event's lock, in milliseconds. */
  readonly waits: readonly number[]
}

/** Serves all customers at once, as a web server would, and measures what the service tells of its locks. */
export async function sell(orders: OrderService, locks: NamedLockService, wishes: readonly Wish[]): Promise<Sales> {
  const waits: number[] = []
  let waited = 0
  const isEvent = (name: string) => name.startsWith('event:')
  locks.on('waiting', ({ name }) => (waited += isEvent(name) ? 1 : 0))
  locks.on('acquired', ({ name, waitedMs }) => void (isEvent(name) && waits.push(waitedMs)))

  const answers = await Promise.allSettled(wishes.map((wish) => orders.buy(wish.eventId, wish.customer)))

  const served = answers.filter((answer) => answer.status === 'fulfilled')
  const sold = served.filter((answer) => answer.value !== null).length
  const failures = answers.filter((answer) => answer.status === 'rejected').map((answer) => String(answer.reason))
  return { sold, soldOut: served.length - sold, failures, waited, waits }
}
