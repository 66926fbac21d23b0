import { setTimeout as sleep } from 'node:timers/promises'
import type { DataSource } from 'typeorm'
import { now } from '../shop/clock.js'
import { Order } from '../shop/entities/order.js'
import { audit } from '../supervisor/audit.js'
import { putUpForSale } from '../supervisor/database.js'
import { Sections } from '../supervisor/sections.js'
import type { ShopClient } from '../supervisor/shop-client.js'
import type { WatchedReplica } from './replicas.js'
import { serve } from './serve.js'
import type { Account, Run } from './verdict.js'

export interface Rush {
  readonly dataSource: DataSource
  readonly replicas: readonly WatchedReplica[]
  readonly shops: readonly ShopClient[]
  readonly signal: AbortSignal
}

const titles = ['Opening night', 'Matinee', 'Late show', 'Last night']

/** One rush for tickets, from an empty shop to its audit. There are tickets for half of the customers. */
export async function rush(label: string, { dataSource, replicas, shops, signal }: Rush, orders: number): Promise<Run> {
  const capacity = Math.max(1, Math.floor(orders / 2 / titles.length))
  const events = await putUpForSale(dataSource, titles, capacity)
  const sections = new Sections(replicas.length)
  sections.begin(now())
  const sales = await serve(shops, events, orders)
  await everyOrderSettled(dataSource, signal)
  const accounts = replicas.map(async (replica, index): Promise<Account> => {
    const settlement = await replica.settlementRuns(shops[index]!)
    const activities = replica.takeActivities()
    sections.add(index + 1, activities)
    return { ...sales[index]!, settlement, activities }
  })
  return {
    label,
    orders,
    accounts: await Promise.all(accounts),
    audit: await audit(dataSource, replicas.length),
    locksUsed: sections.count(),
  }
}

/**
 * Waits until the replicas' schedules have settled all orders. Gives up after half a minute: the audit then reports the
 * missing ones.
 */
async function everyOrderSettled(dataSource: DataSource, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (!(await dataSource.manager.existsBy(Order, { paid: true, settled: false }))) return
    await sleep(100, undefined, { signal })
  }
}
