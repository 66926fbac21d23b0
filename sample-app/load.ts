import { setTimeout as sleep } from 'node:timers/promises'
import type { DataSource } from 'typeorm'
import { audit } from './audit.js'
import { emptyTables } from './database.js'
import { Event } from './entities/event.js'
import { Order } from './entities/order.js'
import type { SettlementRuns } from './replica.js'
import { ReplicaProcess, type ReplicaSettings } from './replica-process.js'
import type { Sales, Wish } from './sell.js'
import type { Account, Run } from './verdict.js'

export interface Load extends Omit<ReplicaSettings, 'locks'> {
  readonly orders: number
  readonly replicas: number
}

const titles = ['Opening night', 'Matinee', 'Late show', 'Last night']

/** One rush for tickets, from an empty database to its audit. Half of the customers can have a ticket. */
export async function rush(label: string, dataSource: DataSource, load: Load & ReplicaSettings): Promise<Run> {
  await emptyTables(dataSource)
  const capacity = Math.max(1, Math.floor(load.orders / 2 / titles.length))
  const events = await dataSource.manager.save(
    Event,
    titles.map((title) => ({ title, capacity, available: capacity })),
  )
  const wishes = Array.from({ length: load.orders }, (_, index) => ({
    eventId: events[index % events.length]!.id,
    customer: `customer ${index + 1}`,
  }))
  const accounts = await sendOrders(dataSource, wishes, load)
  return { label, orders: load.orders, accounts, audit: await audit(dataSource, load.replicas) }
}

/** Opens the replicas, sends them their customers all at once, and closes them when every order is settled. */
async function sendOrders(
  dataSource: DataSource,
  wishes: readonly Wish[],
  load: Load & ReplicaSettings,
): Promise<Account[]> {
  const replicas = Array.from({ length: load.replicas }, (_, index) => new ReplicaProcess(index + 1, load))
  const share = Math.ceil(wishes.length / load.replicas)
  try {
    await Promise.all(replicas.map((replica) => replica.opened()))
    const sales = await Promise.all(
      replicas.map((replica, index) =>
        replica.ask<Sales>({ do: 'sell', wishes: wishes.slice(index * share, (index + 1) * share) }),
      ),
    )
    await everyOrderSettled(dataSource, load.signal)
    const runs = await Promise.all(replicas.map((replica) => replica.ask<SettlementRuns>({ do: 'close' })))
    await Promise.all(replicas.map((replica) => replica.ended()))
    return sales.map((sale, index) => ({ ...sale, settlement: runs[index]! }))
  } finally {
    await Promise.all(replicas.map((replica) => replica.kill()))
  }
}

/** The schedules of the replicas do it. Gives up after half a minute: the audit then tells what is missing. */
async function everyOrderSettled(dataSource: DataSource, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (!(await dataSource.manager.existsBy(Order, { settled: false }))) return
    await sleep(100, undefined, { signal })
  }
}
