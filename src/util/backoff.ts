import { monotonicNow, setTimeout } from './clock.js'
import { GrowingPause } from './growing-pause.js'

/**
 * The time between attempts to connect to a database that refuses connections. It grows with each failure and is
 * random, so that the processes do not all reach a returning server at once.
 */
export class Backoff {
  /** False for errors that do not concern the database, such as a wrong option. */
  readonly #isAwayBy: (error: unknown) => boolean
  readonly #pause = new GrowingPause()
  #dueAt = 0
  #isAway = false
  #trying: Promise<unknown> | undefined

  constructor(isAwayBy: (error: unknown) => boolean) {
    this.#isAwayBy = isAwayBy
  }

  /** Resolves when the next attempt is due: at once unless the last one failed. */
  async due(): Promise<void> {
    for (let left = this.#left; left > 0; left = this.#left) {
      await new Promise((resolve) => setTimeout(resolve, Math.ceil(left)))
    }
  }

  /**
   * Runs `connect`, at once unless the last attempt failed. After a failure, one attempt runs at a time, when it is
   * due. Callers that arrive meanwhile continue when it succeeds, and fail with it. An unreachable server thus gets no
   * more attempts from a process with many callers than from one with a single caller.
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
    if (this.#left > 0) return // attempts that began together fail together, and count once
    this.#dueAt = monotonicNow() + this.#pause.next()
  }

  succeeded(): void {
    this.#pause.reset()
    this.#dueAt = 0
  }

  get #left(): number {
    return this.#dueAt - monotonicNow()
  }
}
