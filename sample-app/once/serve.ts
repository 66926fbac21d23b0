import type { Event } from '../shop/entities/event.js'
import { reason } from '../supervisor/database.js'
import type { ShopClient } from '../supervisor/shop-client.js'

/** The results of a replica's customers. */
export interface Sales {
  readonly sold: number
  readonly soldOut: number
  readonly failures: readonly string[]
}

/** Sends all customers at once, distributed over the replicas. */
export function serve(shops: readonly ShopClient[], events: readonly Event[], orders: number): Promise<Sales[]> {
  const share = Math.ceil(orders / shops.length)
  return Promise.all(
    shops.map((shop, index) => {
      const first = index * share
      const customers = Array.from({ length: Math.max(0, Math.min(share, orders - first)) }, (_, n) => first + n)
      return sell(shop, events, customers)
    }),
  )
}

async function sell(shop: ShopClient, events: readonly Event[], customers: readonly number[]): Promise<Sales> {
  const answers = await Promise.allSettled(
    customers.map((customer) => shop.buy(events[customer % events.length]!.id, `customer ${customer + 1}`)),
  )
  const served = answers.filter((answer) => answer.status === 'fulfilled')
  const sold = served.filter((answer) => answer.value !== null).length
  const failures = answers.filter((answer) => answer.status === 'rejected').map((answer) => why(answer.reason))
  return { sold, soldOut: served.length - sold, failures }
}

/** "fetch failed" says nothing; its cause does. */
function why(error: unknown): string {
  const { cause } = error as { cause?: Error }
  return cause === undefined ? String(error) : `${String(error)} (${reason(cause)})`
}
