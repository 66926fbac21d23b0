import { TERMINAL, TERMINALS, type Activity } from '../shop/activity.js'

/** How often the code under one lock ran, and how often that code ran in too many places at once. */
export interface Overlaps {
  readonly lock: string
  /** How many may be inside at a time. */
  readonly limit: number
  readonly entries: number
  readonly overlaps: number
}

interface Stay {
  readonly replica: number
  readonly start: number
  readonly end: number
}

/**
 * Records when replicas were inside the code that belongs to a lock, and counts the overlaps: entries while another replica
 * was inside (with one replica: another call), or while all permits were in use.
 *
 * Only stays that have ended count. Replicas report in batches, so one that left a moment ago still seems to be inside; a
 * count that included it would show overlaps that never were.
 */
export class Sections {
  readonly #single: boolean
  #stays = new Map<string, Stay[]>()
  #since = -Infinity

  /** @param replicas The number of replicas. */
  constructor(replicas: number) {
    this.#single = replicas === 1
  }

  /** Forgets everything, also what is reported later and began before `at`. */
  begin(at: number): void {
    this.#stays.clear()
    this.#since = at
  }

  add(replica: number, activities: readonly Activity[]): void {
    for (const [end, kind, lock, ms] of activities) {
      const start = end - ms
      if ((kind !== 'left' && kind !== 'worked') || start < this.#since) continue
      const stays = this.#stays.get(lock)
      if (stays) stays.push({ replica, start, end })
      else this.#stays.set(lock, [{ replica, start, end }])
    }
  }

  /** The locks by name. */
  count(): Overlaps[] {
    const locks = [...this.#stays].sort(([a], [b]) => a.localeCompare(b))
    return locks.map(([lock, stays]) => {
      const limit = lock === TERMINAL ? TERMINALS : 1
      return { lock, limit, entries: stays.length, overlaps: this.#overlaps(stays, limit) }
    })
  }

  #overlaps(stays: readonly Stay[], limit: number): number {
    let inside: Stay[] = []
    let overlaps = 0
    for (const stay of [...stays].sort((a, b) => a.start - b.start)) {
      inside = inside.filter(({ end }) => end > stay.start)
      const others = limit > 1 || this.#single ? inside : inside.filter(({ replica }) => replica !== stay.replica)
      if (others.length >= limit) overlaps++
      inside.push(stay)
    }
    return overlaps
  }
}

/** The overlaps of all locks, or of those whose name begins so. */
export function overlapsIn(counted: readonly Overlaps[], prefix = ''): number {
  return counted.reduce((sum, { lock, overlaps }) => sum + (lock.startsWith(prefix) ? overlaps : 0), 0)
}
