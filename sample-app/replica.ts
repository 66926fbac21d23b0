import { on } from 'node:events'
import { openDatabase } from './database.js'
import { NamedLockService } from './named-lock.js'
import { OrderService } from './order-service.js'
import { Schedule } from './schedule.js'
import { SeatRepository } from './seat-repository.js'
import { sell, type Sales, type Wish } from './sell.js'
import { Settlement } from './settlement.js'
import { explain } from './user-error.js'

/** What the parent process asks for, in this order. The answers are Sales and SettlementRuns. */
export type ReplicaRequest = { readonly do: 'sell'; readonly wishes: readonly Wish[] } | { readonly do: 'close' }
export type ReplicaAnswer = 'open' | Sales | SettlementRuns

/** How often the settlement was due in this replica, and what came of it. */
export interface SettlementRuns {
  readonly done: number
  readonly skipped: number
}

/** One replica of the shop: a process of its own, with its own connections and its own NamedLockService. */
async function runReplica(replica: number, databaseUrl: string): Promise<void> {
  const requests = on(process, 'message') as AsyncIterable<[ReplicaRequest]>
  const dataSource = await openDatabase(databaseUrl)
  // `broken` is for the test of the sample: locks that end at the process, which the report has to notice.
  const locks =
    process.env.LOCKS === 'broken'
      ? new NamedLockService(dataSource, { namespace: `replica-${replica}` })
      : NamedLockService.for(dataSource)
  const orders = new OrderService(dataSource, locks, new SeatRepository(dataSource), replica)
  const settlement = new Settlement(dataSource, locks, replica)

  const runs = { done: 0, skipped: 0 }
  const schedule = new Schedule(50, async () => {
    const settled = await settlement.settle()
    runs[settled === undefined ? 'skipped' : 'done']++
  })

  answer('open')
  for await (const [request] of requests) {
    if (request.do === 'sell') answer(await sell(orders, locks, request.wishes))
    else break
  }
  await schedule.stop()
  await locks.close()
  await dataSource.destroy()
  answer(runs)
  process.off('disconnect', abandon)
  process.disconnect() // nothing else keeps the process alive
}

/** Without its parent a replica would go on selling to nobody. */
function abandon(): void {
  process.exit(1)
}

function answer(message: ReplicaAnswer): void {
  process.send?.(message)
}

process.on('disconnect', abandon)
process.on('SIGINT', () => undefined) // Ctrl-C goes to the parent as well, which ends its replicas

runReplica(Number(process.env.REPLICA), process.env.DATABASE_URL ?? '').catch((error: unknown) => {
  console.error(`Replica ${process.env.REPLICA}: ${explain(error)}`)
  process.exit(1)
})
