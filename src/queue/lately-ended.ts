import { monotonicNow } from '../util/clock.js'
/** What ended less than so long ago goes on: no longer than a polling process takes from one poll to the next. */
const SOON = 40
/** A lock that is held for less is free half of the time, and needs no turns. */
const SHORTEST = 1
const MOST = 1_000

/**
 * When turns began whose lock was given back because nobody here was queued. A single caller in a loop never queues behind
 * itself, so its turn would never end, and a process that polls would hardly ever find the lock free.
 */
export class LatelyEnded {
  readonly #turns = new Map<string, { readonly startedAt: number; readonly endedAt: number }>()

  get isEmpty(): boolean {
    return this.#turns.size === 0
  }

  add(key: string, startedAt: number, grantedAt: number): void {
    const endedAt = monotonicNow()
    if (endedAt - grantedAt < SHORTEST) return
    if (this.#turns.size >= MOST) this.#turns.clear()
    this.#turns.set(key, { startedAt, endedAt })
  }

  /** When the turn began that goes on now; 0 when there is none. */
  take(key: string): number {
    const turn = this.#turns.get(key)
    if (!turn) return 0
    this.#turns.delete(key)
    return monotonicNow() - turn.endedAt < SOON ? turn.startedAt : 0
  }
}
