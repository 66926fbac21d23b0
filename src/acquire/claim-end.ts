import { NamedLockClosedError } from '../contract/errors.js'
import type { Claim } from '../queue/claim.js'
import { clearTimeout, setTimeout } from '../util/clock.js'

/**
 * How a claim ends that was granted:
 *
 * - `released`: a handle or a transaction is done with it. The last one to be so releases the lock, and the service is notified.
 * - `unused`: its call failed before any work ran under the lock, for instance because another lock of the call timed out. The lock is
 *   released as above, with two exceptions: no event, as the caller never had a handle; and a lock with a lease that is over is not
 *   passed on to the next caller of this process.
 * - `taken away`: the service closes. All handles that share the lock lose it at once, and their signals are aborted. A lock inside a
 *   transaction takes the transaction with it: its connection is given up, so that the lock never ends before the ROLLBACK.
 */
export type ClaimEnd = 'released' | 'unused' | 'taken away'

/**
 * Ends one share of a claim, or the whole claim when it is taken away: the only way in which claims end that were granted and not lost.
 *
 * @returns Resolves when the lock is passed on or released; undefined: it was at once, or other handles still share it.
 */
export function endClaim(claim: Claim, end: ClaimEnd): Promise<void> | undefined {
  if (end === 'taken away') return takeAway(claim)
  if (--claim.shares > 0) return undefined
  // The check ends a session with a lease that is over, and the claim with it: such a lock must not be handed over.
  const isHeld = end === 'unused' ? claim.checkLease() : claim.state === 'held'
  const answer = claim.slot.release(claim)
  if (end === 'released' && isHeld) claim.owner.released(claim)
  return answer
}

function takeAway(claim: Claim): Promise<void> | undefined {
  const closed = new NamedLockClosedError('the lock service was closed')
  if (claim.source?.inTransaction) {
    claim.session?.lose(closed)
    return undefined
  }
  claim.owner.listener.lost(claim, closed)
  // Before the release: the connection is the next caller's then, or the pool's, and its EntityManager must not work there.
  claim.source?.endWork()
  return claim.slot.release(claim)
}

/** How long a failed call waits for the release of the locks that it had, in milliseconds. */
const GRACE = 250

/**
 * Ends the claims of a call that failed before its work began, the last one first. In a silent network the server's answer may take the
 * rest of the lease: the caller does not wait for it, and the releases go on.
 */
export async function endUnused(claims: readonly Claim[]): Promise<void> {
  if (claims.length === 0) return
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, GRACE)))
  await Promise.race([endOneByOne(claims), late])
  clearTimeout(timer)
}

async function endOneByOne(claims: readonly Claim[]): Promise<void> {
  for (const claim of [...claims].reverse()) await endClaim(claim, 'unused')
}
