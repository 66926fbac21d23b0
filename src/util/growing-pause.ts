const FIRST = 50
const LONGEST = 500

/**
 * The pauses between attempts: each twice as long as the one before, up to half a second, and random, so that those that have failed
 * together do not meet again. In milliseconds.
 */
export class GrowingPause {
  #step = 0

  next(): number {
    this.#step = Math.min(Math.max(FIRST, this.#step * 2), LONGEST)
    return this.#step * (0.5 + Math.random() / 2)
  }

  reset(): void {
    this.#step = 0
  }
}
