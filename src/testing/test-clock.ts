import type { TimeLimits } from '../util/time-limits.js'
import { LONGEST_TIMER, monotonicNow, setTimeout as realSetTimeout } from '../util/clock.js'

/* eslint no-restricted-globals: off, no-restricted-properties: off -- the one place in src/ that uses the test's timers and date, faked or not */

/** The time of day of the test, faked or not: it decides how long ago a name was done. */
export function testNow(): number {
  return Date.now()
}

/**
 * The clock of the test: the global `setTimeout` at the time of the call. If a test fakes it and advances it by ten
 * seconds, a caller with a timeout of ten seconds must time out. If the test does not advance it, no caller may time
 * out, however slow the machine is. Time already spent therefore counts only with real timers. (The names of one call
 * share its timeout by real time; with a faked clock each of them has the whole timeout.)
 *
 * The fakes of all runners have only timers in common, so this class reads no clock: the time is over when the timer
 * fires.
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
      // A timer of fakes that are uninstalled by now never fires, and clearing it confuses the fakes of node:test.
      if (isReal || clearTimeout === globalThis.clearTimeout) clearTimeout(timer)
    })
  }

  end(of: object): void {
    this.#ends.get(of)?.()
    this.#ends.delete(of)
  }
}
