import type { DataSource } from 'typeorm'
import { rush, type Load } from './load.js'
import { settlementLine, summary, table } from './report.js'
import { UserError } from './user-error.js'
import { failures, faults, showsTheProblem, type Run } from './verdict.js'

/** How often the shop without locks gets the chance to go wrong, each time with twice the orders. */
const attempts = 3

/** The same rush without and with the lock. Rejects unless the first went wrong and the second was exact. */
export async function compare(dataSource: DataSource, load: Load, locks: 'on' | 'broken'): Promise<void> {
  const unlocked = await unlockedRush(dataSource, load)
  console.log(`${unlocked.orders} orders with @WithNamedLock …`)
  const locked = await rush('with lock', dataSource, { ...load, orders: unlocked.orders, locks })

  console.log(`\n${table([unlocked, locked])}\n${settlementLine(locked)}\n`)
  const wrong = [
    ...failures(unlocked).map((failure) => `Without the lock, ${failure}.`),
    ...faults(locked).map((fault) => `With the lock, ${fault}.`),
  ]
  if (!showsTheProblem(unlocked)) {
    wrong.push('Without the lock nothing went wrong, so the comparison shows nothing: try again with more --orders.')
  }
  if (wrong.length > 0) throw new UserError(wrong.join('\n'))
  console.log(summary(unlocked, locked))
}

async function unlockedRush(dataSource: DataSource, load: Load): Promise<Run> {
  for (let orders = load.orders, attempt = 1; ; orders *= 2, attempt++) {
    console.log(`${orders} orders for ${load.replicas} replicas without a lock …`)
    const run = await rush('without lock', dataSource, { ...load, orders, locks: 'off' })
    if (showsTheProblem(run) || attempt === attempts) return run
    console.log('By luck nothing went wrong; once more, with twice the orders.')
  }
}
