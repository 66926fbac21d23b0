import type { Activity } from '../shop/activity.js'
import type { SettlementRuns } from '../shop/settlement.service.js'
import { ReplicaProcess, type ReplicaSettings } from '../supervisor/replica-process.js'
import { ShopClient } from '../supervisor/shop-client.js'

export interface ReplicasOptions extends Pick<ReplicaSettings, 'databaseUrl' | 'locks'> {
  readonly replicas: number
  /** Ends the run at once. */
  readonly signal: AbortSignal
}

/** A replica, and its lock events since the last `takeActivities`. */
export class WatchedReplica {
  readonly process: ReplicaProcess
  #activities: Activity[] = []
  #settlement: SettlementRuns = { done: 0, skipped: 0 }

  constructor(number: number, options: ReplicasOptions) {
    const onActivities = (activities: readonly Activity[]) => void this.#activities.push(...activities)
    this.process = new ReplicaProcess(number, { ...options, onActivities })
  }

  takeActivities(): readonly Activity[] {
    const activities = this.#activities
    this.#activities = []
    return activities
  }

  /** How often the settlement was due since the last call. */
  async settlementRuns(shop: ShopClient): Promise<SettlementRuns> {
    const before = this.#settlement
    const now = (this.#settlement = await shop.settlementRuns())
    return { done: now.done - before.done, skipped: now.skipped - before.skipped }
  }
}

/** Opens the replicas for the duration of `work`. If one of them dies, the run fails. */
export async function withReplicas<T>(
  options: ReplicasOptions,
  work: (replicas: readonly WatchedReplica[], shops: readonly ShopClient[], signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const replicas: WatchedReplica[] = []
  const end = new AbortController()
  const run = async (): Promise<T> => {
    const ports: number[] = await Promise.all(replicas.map(({ process }) => process.opened))
    const shops = ports.map((port) => new ShopClient(port, end.signal))
    return work(replicas, shops, end.signal)
  }
  try {
    for (let number = 1; number <= options.replicas; number++) {
      const replica = new WatchedReplica(number, options)
      replicas.push(replica)
      // Without shared locks they must not start together: each would run the migrations.
      if (options.locks === 'broken') await replica.process.opened
    }
    const result = await Promise.race([
      run(),
      ...replicas.map(({ process }) => process.dies()),
      aborted(options.signal),
    ])
    await Promise.all(replicas.map(({ process }) => process.close()))
    return result
  } finally {
    end.abort()
    await Promise.all(replicas.map(({ process }) => process.kill()))
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}
