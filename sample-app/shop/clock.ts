import { settings } from './settings.js'

/*
 * One clock for all processes of the sample. The monotonic clock of the machine is the same in each of them, and steps of
 * the system's time do not move it. Only so can the times of two replicas be compared to a fraction of a millisecond.
 */

/** The moment, in epoch milliseconds, at which the monotonic clock was zero; the supervisor's choice counts for all. */
export const clockOrigin = settings.clockOrigin ?? Date.now() - monotonic()

/** Now, in epoch milliseconds. */
export function now(): number {
  return clockOrigin + monotonic()
}

function monotonic(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
