import { monotonicNow } from '../util/clock.js'

/** The longest slice, in usual ones. */
const MOST = 32
/** A lock that has stayed with one holder for so long does not pass from process to process, in milliseconds. */
const STAYS = 1_000
/** In the place of the holders' ids: the lock has passed from this process to another since. */
const OURS = 'ours'

/**
 * How long the slices of a contest's waits are, on a server that limits them.
 *
 * The end of a slice loses the place in the server's queue. The rule: a process keeps its place while others in the queue get their turns,
 * however many there are. So a slice that ends while the lock passes between other sessions is followed by one of twice the length, until
 * a slice lasts for a whole round. Without that, a slice that is short for a turn leaves the order to chance: two processes whose slices
 * keep step with their turns pass the lock to each other, past a third one.
 *
 * While the lock stays with one holder, there is no order to keep, and the slices are short again: that holder may build an index, which
 * waits for the end of every slice. No two slices are equal in length, so that processes do not wait in step.
 */
export class Slices {
  /** In usual slices. Outlives the contest: the next one is probably for the same turns. */
  #length = 1
  /** The holders at the end of the last slice, and since when they are known to be the same. Empty before the first; `OURS` after a win. */
  #holders: string | undefined
  #since = 0

  /** The length of the next slice, in usual ones. */
  get next(): number {
    return this.#length * (0.75 + Math.random() / 4)
  }

  /** This process has the lock now. */
  won(): void {
    this.#holders = OURS
  }

  /** A slice has ended, and those connections hold the lock. */
  missed(holders: string): void {
    const now = monotonicNow()
    if (this.#holders === holders) {
      if (now - this.#since >= STAYS) this.#length = 1
      return
    }
    if (this.#holders !== undefined) this.#length = Math.min(this.#length * 2, MOST)
    this.#holders = holders
    this.#since = now
  }
}
