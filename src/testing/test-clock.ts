import type { TimeLimits } from '../util/time-limits.js'
import { monotonicNow, setTimeout as realSetTimeout } from '../util/clock.js'

/* eslint no-restricted-globals: off -- the one place in src/ that wants the test's timers, faked or not */

/** setTimeout's longest delay; anything longer fires at once. */
const LONGEST_TIMER = 2_147_483_647

/**
 * The clock of the test: whatever `setTimeout` is at the time of the call. A test that fakes it and advances it by ten seconds
 * expects a caller with a timeout of ten seconds to time out. A test that does not advance it expects that no caller times out,
 * however slow the machine is: so the real time that a caller has spent counts only where the timers are real. (The names of
 * one call share its timeout by real time; by a faked clock each of them has the whole of it.)
 *
 * A timer is all that the fakes of every runner have in common, so no clock is read here: the time is up when the timer fires.
 */
export class TestClock implements TimeLimits {
  readonly #ends = new Map<object, () => void>()

  begin(of: object, milliseconds: number, spent: number, over: () => void): void {
    if (milliseconds === Infinity) return
    const { setTimeout, clearTimeout } = globalThis
    const isReal = setTimeout === realSetTimeout
    const left = Math.max(0, isReal ? Math.ceil(milliseconds - spent) : Math.round(milliseconds)) // a sum of fractions before
    const due = monotonicNow() + left
    const timer = setTimeout(
      () => {
        this.#ends.delete(of)
        const early = isReal ? due - monotonicNow() : 0 // real timers may be early
        if (early > 0) this.begin(of, early, 0, over)
        else if (left <= LONGEST_TIMER) over()
        else this.begin(of, left - LONGEST_TIMER, 0, over)
      },
      Math.min(left, LONGEST_TIMER),
    )
    // A browser's timers (jsdom) are numbers.
    ;(timer as Partial<NodeJS.Timeout>).unref?.()
    this.#ends.set(of, () => {
      // A timer of fakes that were removed since never fires, and clearing it confuses those of node:test.
      if (isReal || clearTimeout === globalThis.clearTimeout) clearTimeout(timer)
    })
  }

  end(of: object): void {
    this.#ends.get(of)?.()
    this.#ends.delete(of)
  }
}
