import { uptime } from 'node:os'
import { performance } from 'node:perf_hooks'
import * as timers from 'node:timers'
import * as promised from 'node:timers/promises'
import { runInNewContext } from 'node:vm'

/*
 * The clocks, timers and microtasks of the library. All code in src/ imports them from here, and eslint checks it.
 *
 * The references are captured when this module loads, because a user's test may fake the globals afterwards: a faked clock
 * would end leases that the server still keeps, and a timer that never fires would leave a lock without its keepalive.
 * The modules of Node.js are read instead of the globals, because some test runners fake the globals before any module loads
 * (jest with `fakeTimers: { enableGlobally: true }`), or replace them by those of a browser (jsdom).
 */

export const { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate } = timers

/** The longest delay of `setTimeout`, in milliseconds: a timer with a longer one fires at once. */
export const LONGEST_TIMER = 2_147_483_647

/** Resolves after that many milliseconds. */
export const sleep = promised.setTimeout

const now = performance.now.bind(performance)

/** Monotonic milliseconds. While the system is suspended, this clock may stand still (Linux). */
export function monotonicNow(): number {
  return now()
}

/** The source of `wallNow`. It is an object so that the tests of the library can step it. */
export const wallClock = { now: realWallClock() }

/** The time of day in milliseconds. It jumps when the clock is set, and when the machine wakes up. */
export function wallNow(): number {
  return wallClock.now()
}

/**
 * Milliseconds since the system was started, including time in which it was suspended. Setting the date does not change
 * it.
 */
export const bootClock = { now: (): number => uptime() * 1_000 }

/**
 * How long the system was suspended so far: the difference of two clocks, one of which stood still. It reads a file on
 * Linux, so it must not run for every lock.
 */
export function suspendedSoFar(): number {
  try {
    return bootClock.now() - monotonicNow()
  } catch {
    return 0 // some sandboxes hide it
  }
}

/** When `monotonicNow()` was 0, by the wall clock of that moment. */
export const { timeOrigin } = performance

const settled = Promise.resolve()

/** `queueMicrotask` is in no module, and the global one is often faked. */
export function queueMicrotask(callback: () => void): void {
  void settled.then(callback)
}

/** `Date` is in no module. A fake one is written in JavaScript; another realm has the real one. */
function realWallClock(): () => number {
  const isNative = Function.prototype.toString.call(Date.now).includes('[native code]')
  return isNative ? Date.now : (runInNewContext('Date.now') as () => number)
}
