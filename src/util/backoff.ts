import { monotonicNow, setTimeout } from './clock.js'

const FIRST = 50
const LONGEST = 500

/**
 * The time between tries to connect to a database that lets nobody in: longer after each failure, and never the same for two
 * processes, so that a server that comes back is not met by all of them at once.
 */
export class Backoff {
  /** False for errors that are no news of the database, such as a wrong option. */
  readonly #isAwayBy: (error: unknown) => boolean
  #step = 0
  #dueAt = 0
  #isAway = false
  #trying: Promise<unknown> | undefined

  constructor(isAwayBy: (error: unknown) => boolean) {
    this.#isAwayBy = isAwayBy
  }

  /** Resolves when the next try is due: at once while all is well. */
  async due(): Promise<void> {
    for (let left = this.#left; left > 0; left = this.#left) {
      await new Promise((resolve) => setTimeout(resolve, Math.ceil(left)))
    }
  }

  /**
   * Runs `connect`, at once while all is well. After a failure there is one try at a time, when it is due: whoever comes meanwhile
   * goes on when it succeeds, and fails with it. A server that is away hears of every process as seldom as of one call.
   */
  async alone<T>(connect: () => Promise<T>): Promise<T> {
    if (this.#isAway) {
      if (!this.#trying) await this.due()
      await this.#trying
    }
    if (!this.#isAway) return this.#noted(connect)
    const trying = this.#noted(connect)
    this.#trying = trying
    try {
      return await trying
    } finally {
      this.#trying = undefined
    }
  }

  async #noted<T>(connect: () => Promise<T>): Promise<T> {
    try {
      const result = await connect()
      this.#isAway = false
      return result
    } catch (error) {
      if (this.#isAwayBy(error)) {
        this.#isAway = true
        this.failed()
      }
      throw error
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
