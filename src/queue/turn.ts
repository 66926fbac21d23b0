import { monotonicNow } from '../util/clock.js'
import type { Claim } from './claim.js'

/** A turn that ended less than so long ago is resumed, in milliseconds: the longest gap between two polls of another process. */
const SOON = 40
/** A lock that was held for less is free half of the time, and needs no turns. In milliseconds. */
const SHORTEST = 1
/** How many turns that ended lately are kept, and how many spare ones. */
const MOST = 1_000

/**
 * How long this process may go on handing one lock over to itself before other processes get it: so many times, and for so long.
 *
 * A turn begins when the server grants a lock that another process had, or has let this process keep it; it ends when another process
 * gets the lock. While there is none, nothing is counted.
 */
export class Turn {
  /** Written by `begin` and `end`. While it is false, the other fields are left over from before. */
  #isOn = false
  #startedAt = 0
  /** How often the lock was passed on in this turn. Written by `begin`, `passOn` and `resume`. */
  #passedOn = 0
  /** When the lock was last granted to a caller. Written by `granted`. */
  #grantedAt = 0
  /** When the lock was last released because no caller was queued here. Written by `pause`. */
  #pausedAt = 0

  get isOn(): boolean {
    return this.#isOn
  }

  begin(): void {
    this.#isOn = true
    this.#startedAt = monotonicNow()
    this.#passedOn = 0
  }

  /** Another process has the lock. */
  end(): void {
    this.#isOn = false
  }

  /** The lock goes to another caller of this process. */
  passOn(): void {
    this.#passedOn++
  }

  granted(time: number): void {
    this.#grantedAt = time
  }

  /**
   * Whether the lock has to go through the server before that claim gets it. A turn is this process's, whichever services its callers
   * used; how long it may be is the option of the service that would profit from a longer one, so that `times: 0` means what it
   * says for the calls of that service.
   */
  isOver(next: Claim): boolean {
    const { times, for: period } = next.owner.settings.handOver
    return this.#passedOn > times || monotonicNow() - this.#startedAt >= period
  }

  /** The lock is released because no caller is queued. Returns whether the turn is worth resuming. */
  pause(): boolean {
    if (!this.#isOn) return false
    this.#pausedAt = monotonicNow()
    return this.#pausedAt - this.#grantedAt >= SHORTEST
  }

  /** This process wants the lock again: the turn goes on, unless other processes have had the time to get it. */
  resume(): void {
    if (monotonicNow() - this.#pausedAt >= SOON) this.#isOn = false
    this.#passedOn = 0
  }
}

/**
 * The turns of a service's locks, and those that ended lately because no caller was queued. A single caller in a loop never queues
 * behind itself, so its turn would never end, and a process that polls would hardly ever find the lock free.
 */
export class Turns {
  readonly #lately = new Map<string, Turn>()
  /** Turns that were not worth resuming: the next locks take them instead of new ones. */
  readonly #spare: Turn[] = []

  /** The turn of a key that is wanted now. */
  of(key: string): Turn {
    const turn = this.#lately.size > 0 ? this.#lately.get(key) : undefined
    if (turn) {
      this.#lately.delete(key)
      turn.resume()
      return turn
    }
    return this.#spare.pop() ?? new Turn()
  }

  /** The key is not wanted any more. */
  leave(key: string, turn: Turn): void {
    if (!turn.pause()) {
      turn.end()
      if (this.#spare.length < MOST) this.#spare.push(turn)
      return
    }
    if (this.#lately.size >= MOST) this.#lately.clear()
    this.#lately.set(key, turn)
  }
}
