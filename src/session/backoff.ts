import { monotonicNow, setTimeout } from '../util/clock.js'
const FIRST = 50
const LONGEST = 500

/**
 * The time between tries to connect to a database that lets nobody in: longer after each failure, and never the same for two
 * processes, so that a server that comes back is not met by all of them at once.
 */
export class Backoff {
  #step = 0
  #dueAt = 0

  /** Resolves when the next try is due: at once while all is well. */
  async due(): Promise<void> {
    for (let left = this.#left; left > 0; left = this.#left) {
      await new Promise((resolve) => setTimeout(resolve, Math.ceil(left)))
    }
  }

  failed(): void {
    if (this.#left > 0) return // tries that began together fail together
    this.#step = Math.min(Math.max(FIRST, this.#step * 2), LONGEST)
    this.#dueAt = monotonicNow() + this.#step * (0.5 + Math.random() / 2)
  }

  succeeded(): void {
    this.#step = this.#dueAt = 0
  }

  get #left(): number {
    return this.#dueAt - monotonicNow()
  }
}
