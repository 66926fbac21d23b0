/**
 * A lease ends on the server at least this much after the session's own deadline, so that the holder detects the loss first: half a
 * second for timers that are late, or a thousandth of the lease for clocks that run apart.
 */
const GRACE = { least: 500, part: 1 / 1000 }

/** The lease that is set on the server, in whole seconds. */
export function serverLeaseSeconds(leaseMs: number): number {
  return Math.ceil((leaseMs + Math.max(GRACE.least, leaseMs * GRACE.part)) / 1000)
}
