import type { DataSource } from 'typeorm'
import { UserError } from '../supervisor/user-error.js'
import { withReplicas, type ReplicasOptions } from './replicas.js'
import { settlementLine, summary, table } from './report.js'
import { rush, type Rush } from './rush.js'
import { failures, faults, showsTheProblem, type Run } from './verdict.js'

/** The number of attempts to make the shop without locks fail, each with twice the orders. */
const attempts = 3

/** Runs the same rush without and with locks. Rejects unless the first one went wrong and the second one was exact. */
export async function compare(dataSource: DataSource, orders: number, options: ReplicasOptions): Promise<void> {
  const [unlocked, locked] = await withReplicas(options, async (replicas, shops, signal) => {
    const circumstances = { dataSource, replicas, shops, signal }
    setLocks(circumstances, false)
    const unlocked = await unlockedRush(circumstances, orders)
    setLocks(circumstances, true)
    console.log(`${unlocked.orders} orders with @WithNamedLock …`)
    return [unlocked, await rush('with lock', circumstances, unlocked.orders)] as const
  })

  console.log(`\n${table([unlocked, locked])}\n${settlementLine(locked)}\n`)
  const wrong = [
    ...failures(unlocked).map((failure) => `Without locks, ${failure}.`),
    ...faults(locked).map((fault) => `With locks, ${fault}.`),
  ]
  if (!showsTheProblem(unlocked)) {
    wrong.push('Nothing went wrong without locks, so the comparison shows nothing. Try again with more --orders.')
  }
  if (wrong.length > 0) throw new UserError(wrong.join('\n'))
  console.log(summary(unlocked, locked))
}

async function unlockedRush(circumstances: Rush, atFirst: number): Promise<Run> {
  for (let orders = atFirst, attempt = 1; ; orders *= 2, attempt++) {
    console.log(`${orders} orders for ${circumstances.replicas.length} replicas without locks …`)
    const run = await rush('without lock', circumstances, orders)
    if (showsTheProblem(run) || attempt === attempts) return run
    console.log('Nothing went wrong by chance. Trying again with twice the orders …')
  }
}

function setLocks({ replicas }: Rush, on: boolean): void {
  for (const { process } of replicas) process.setLocks(on)
}
