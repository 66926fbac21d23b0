import { isWithin, type LockScope } from '../scope/lock-scope.js'
import type { Claim } from './claim.js'

/*
 * Deadlocks inside this process, through all services of a DataSource. The server cannot detect them: for the server, one session
 * holds all ordinary locks of a service.
 *
 * A scope (withLock, transaction, a decorated method) holds its locks until its work has ended, so it waits for every claim
 * that waits inside it. A claim waits for the scope that holds its lock. A cycle of these never ends.
 * Any code may release a handle from `acquire`, and a wait with a signal may be aborted: neither makes an edge.
 */

/** Notes that `claim` waits; returns the names along the cycle when that closes one. */
export function startWaiting(claim: Claim): string[] | undefined {
  const { waitsIn } = claim
  if (!waitsIn || claim.signal) return undefined
  // No claim waits for a scope that holds nothing, and most scopes hold nothing.
  if (!waitsIn.parent && !waitsIn.lock && !waitsIn.hasLocks) return undefined
  for (let scope: LockScope | undefined = waitsIn; scope; scope = scope.parent) (scope.waits ??= new Set()).add(claim)
  return findCycle(claim, waitsIn)
}

export function stopWaiting(claim: Claim): void {
  for (let scope = claim.waitsIn; scope; scope = scope.parent) scope.waits?.delete(claim)
}

function findCycle(claim: Claim, origin: LockScope): string[] | undefined {
  const seen = new Set<LockScope>()
  const visit = (waiting: Claim, path: string[]): string[] | undefined => {
    for (const { scope: holder, target } of waiting.slot.holdersInProcess) {
      // Readers do not wait for each other, but for a writer queued between them, which may leave.
      if (!holder || seen.has(holder) || (waiting.target.isShared && target.isShared)) continue
      seen.add(holder)
      if (isWithin(origin, holder)) return path
      for (const next of (holder.waits ?? []) as Iterable<Claim>) {
        const cycle = visit(next, [...path, next.name])
        if (cycle) return cycle
      }
    }
    return undefined
  }
  return visit(claim, [claim.name])
}
