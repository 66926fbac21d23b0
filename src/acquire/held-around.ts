import { NamedLockLostError } from '../contract/errors.js'
import type { CallSettings } from '../contract/settings.js'
import type { Target } from '../names/targets.js'
import type { Claim } from '../queue/claim.js'
import { scopeHolding, type LockScope } from '../scope/lock-scope.js'
import type { HeldLock } from './held-lock.js'
import { reentrancyRefused, refuseUpgrade } from './refusals.js'

/*
 * Re-entrance: the locks that the scopes around a call hold already, whichever service of the DataSource acquired them.
 */

/** The claim of a key that the innermost scope around the running code holds. */
export function claimAround(dataSource: object, exclusionKey: string): Claim | undefined {
  const scope = scopeHolding(dataSource, exclusionKey)
  return scope && claimIn(scope, exclusionKey)
}

/**
 * The claims that a call shares with the scopes around it, by exclusion key.
 *
 * @throws NamedLockReentrancyError without `reentrant`, for a writer in the scope of a reader, and for fewer permits than the scope's permit needs; NamedLockLostError when the scope has
 * lost the lock: the call cannot acquire it again under the scope's work.
 */
export function claimsAround(
  dataSource: object,
  targets: readonly Target[],
  call: CallSettings,
): ReadonlyMap<string, Claim> | undefined {
  let held: Map<string, Claim> | undefined
  for (const { name, exclusionKey } of targets) {
    const scope = scopeHolding(dataSource, exclusionKey)
    if (!scope) continue
    if (!call.reentrant) throw reentrancyRefused(name)
    const claim = claimIn(scope, exclusionKey)
    if (!claim?.checkLease()) throw lostIn(scope, name)
    refuseUpgrade(claim.target, call)
    held ??= new Map()
    held.set(exclusionKey, claim)
  }
  return held
}

/** A lock that the scope around the call has lost while the others were acquired cannot be acquired again by the call. */
export function refuseLost(claims: readonly Claim[], around: ReadonlyMap<string, Claim> | undefined): void {
  const lost = claims.find((claim) => around?.get(claim.target.exclusionKey) === claim && !claim.checkLease())
  if (lost) throw new NamedLockLostError(`Lock '${lost.name}' was lost while the call was waiting for its other locks.`)
}

function claimIn(scope: LockScope, key: string): Claim | undefined {
  const lock = scope.lock as HeldLock | undefined
  const claim = lock?.claims.find(({ target }) => target.exclusionKey === key) ?? scope.transaction?.claimOf(key)
  return claim as Claim | undefined
}

function lostIn({ lock }: LockScope, name: string): Error {
  return (lock as HeldLock | undefined)?.lostError ?? new NamedLockLostError(`Lock '${name}' is no longer held.`)
}
