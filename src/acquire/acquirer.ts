import { NamedLockLostError } from '../contract/errors.js'
import type { LockName, LockNames } from '../contract/options.js'
import type { CallSettings } from '../contract/settings.js'
import type { HolderLookup } from '../inspect/holder-lookup.js'
import { namesOf, type Target } from '../names/targets.js'
import { isTraced, traced, type AcquireTrace } from '../observe/tracing.js'
import type { Acquisition } from '../queue/acquisition.js'
import { Claim, TRY_PATIENCE, type ClaimSlot, type Failure } from '../queue/claim.js'
import { currentScope, LockScope, scopeHolding } from '../scope/lock-scope.js'
import type { SessionSource } from '../session/session-source.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { monotonicNow } from '../util/clock.js'
import { DedicatedSource } from '../work/dedicated-source.js'
import type { CallTargets } from './call-targets.js'
import { endUnused } from './claim-end.js'
import { claimsAround, refuseLost } from './held-around.js'
import { HeldLock } from './held-lock.js'
import type { OwningService } from './owning-service.js'
import { guardTransaction, outlivesTransaction } from './refusals.js'
import type { SharedCore } from './shared-core.js'
import { timeoutError } from './timeout-error.js'

/** Makes the connection of a call, anew for each attempt. */
export type NewSource = () => SessionSource

/** A lock was lost before the call had all of them. */
const LOST = Symbol('lost')

/**
 * From the names of a call to claims in slots, and from the claims to a handle.
 *
 * A call acquires all of its locks or none, one after the other, in the order of their keys. Where a connection dies before the call has
 * all locks, no work has begun under them: the call releases what it has and starts again, within its timeout.
 */
export class Acquirer {
  readonly #dataSource: DataSourceLike
  readonly #core: SharedCore
  readonly #owner: OwningService
  readonly #targets: CallTargets
  readonly #lookup: HolderLookup
  /** The outcome of a call for one name. Made once for the service: a closure for each call would cost every lock. */
  readonly #lockOf = (claim: Claim): HeldLock | Claim =>
    claim.state === 'held' ? new HeldLock([claim.name], [claim], claim.scope, this.#owner) : claim
  readonly #newDedicatedSource = (): SessionSource => new DedicatedSource(this.#dataSource, this.#core.sessions.work)

  constructor(
    dataSource: DataSourceLike,
    core: SharedCore,
    owner: OwningService,
    targets: CallTargets,
    lookup: HolderLookup,
  ) {
    this.#dataSource = dataSource
    this.#core = core
    this.#owner = owner
    this.#targets = targets
    this.#lookup = lookup
  }

  /**
   * Acquires the locks of a call, on the shared session or on a connection of their own as the call says. Resolves to the handle, or to
   * the claim that timed out.
   *
   * @param isScoped The locks are for work that runs in a scope of its own: the handle's `scope`.
   * @throws NamedLockConfigurationError behind a pooler that pools transactions, where only `obtainOn` can hold locks.
   */
  obtain(names: LockNames, call: CallSettings, isScoped: boolean): Promise<HeldLock | Claim> {
    return this.#obtain(names, call, isScoped, this.#sourceFor(call))
  }

  /** The same for the work of a leader. Not traced: such a wait may last for days, and a span for it would never be of use. */
  obtainForTerm(name: LockName, call: CallSettings): Promise<HeldLock | Claim> {
    return this.#obtainNow(name, call, true, this.#sourceFor(call))
  }

  /** The same for scoped work on a connection that the caller opens: `newSource` is called for each attempt. */
  obtainOn(newSource: NewSource, names: LockNames, call: CallSettings): Promise<HeldLock | Claim> {
    return this.#obtain(names, call, true, newSource)
  }

  /** Queues one claim. Resolves to `result(claim)` when the claim is granted or its time has run out. */
  claim<T>(target: Target, acquisition: Acquisition, result: (claim: Claim) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      const claim: Claim = new Claim(
        this.#owner,
        this.#slotFor(target, acquisition),
        target,
        acquisition,
        (failure) => {
          this.#settled(claim, failure)
          if (failure === undefined || failure === 'timeout') resolve(result(claim))
          else reject(failure)
        },
      )
      this.#core.slots.add(claim)
    })
  }

  /** The error of a claim that timed out. It names the holder, if the server reports it within a moment. */
  timeoutError(claim: Claim): Promise<Error> {
    return timeoutError(claim, this.#lookup, this.#core.sessions)
  }

  #obtain(
    names: LockNames,
    call: CallSettings,
    isScoped: boolean,
    newSource: NewSource | undefined,
  ): Promise<HeldLock | Claim> {
    return isTraced()
      ? this.#obtainTraced(names, call, isScoped, newSource)
      : this.#obtainNow(names, call, isScoped, newSource)
  }

  #obtainTraced(
    names: LockNames,
    call: CallSettings,
    isScoped: boolean,
    newSource: NewSource | undefined,
  ): Promise<HeldLock | Claim> {
    const obtain = (): Promise<HeldLock | Claim> => this.#obtainNow(names, call, isScoped, newSource)
    return traced(this.#owner.service, names, call.timeout, obtain, recordLock)
  }

  #obtainNow(
    names: LockNames,
    call: CallSettings,
    isScoped: boolean,
    newSource: NewSource | undefined,
  ): Promise<HeldLock | Claim> {
    this.#owner.checkOpen()
    if (call.exactName || typeof names !== 'string' || currentScope() || !this.#targets.isSettled)
      return this.#obtainAll(names, call, isScoped, newSource)
    // By far the most calls: one name, outside of every scope. The same as below, without the steps that it does not need.
    const target = this.#targets.of(names, call)
    call.signal?.throwIfAborted()
    if (isScoped) this.#guardTransaction(names)
    const scope = isScoped ? new LockScope(undefined, this.#dataSource, [target.exclusionKey]) : undefined
    const acquisition = { call, startedAt: monotonicNow(), source: newSource?.(), scope, waitsIn: scope }
    const lock = this.claim(target, acquisition, this.#lockOf)
    return newSource ? this.#orAgain(lock, acquisition, names, newSource) : lock
  }

  /** The lock; when its connection was lost before it came, the outcome of further attempts. */
  #orAgain(
    lock: Promise<HeldLock | Claim>,
    acquisition: Acquisition,
    names: LockNames,
    newSource: NewSource,
  ): Promise<HeldLock | Claim> {
    return lock.catch((error: unknown) => {
      if (!this.#isWorthAnotherTry(error, acquisition)) throw error
      const { call, scope, startedAt } = acquisition
      return this.#obtainAll(names, call, scope !== undefined, newSource, startedAt)
    })
  }

  async #obtainAll(
    names: LockNames,
    call: CallSettings,
    isScoped: boolean,
    newSource: NewSource | undefined,
    startedAt = monotonicNow(),
  ): Promise<HeldLock | Claim> {
    const around = currentScope()
    // Before a connection may be waited for: the transaction around the call may have the last one of the pool.
    const isGuarded = isScoped && !around && !this.#targets.isSettled
    if (isGuarded) this.#guardTransaction(names)
    const targets = await this.#targets.ofCall(names, call)
    const keys = targets.map((target) => target.exclusionKey)
    const scope = isScoped ? new LockScope(around, this.#dataSource, keys) : undefined
    if (isScoped && !isGuarded && !keys.every((key) => around && scopeHolding(this.#dataSource, key)))
      this.#guardTransaction(names)
    const held = around ? claimsAround(this.#dataSource, targets, call) : undefined
    for (;;) {
      // A source that has lost its connection is of no use any more.
      const acquisition = { call, startedAt, source: newSource?.(), scope, waitsIn: scope ?? around }
      const claims = await this.#takeAll(targets, acquisition, held)
      if (Array.isArray(claims)) return new HeldLock(namesOf(names), claims, scope, this.#owner)
      if (claims !== LOST) return claims
    }
  }

  /**
   * The claims of all targets, in their order; the one that timed out; or LOST: a lock was lost before the last one was granted. No work
   * has begun then, so nothing is wrong: the caller starts again, from the first name on, as the order of the names is the same everywhere.
   *
   * @param around The claims of scopes around the call, which it shares instead of waiting for itself.
   */
  async #takeAll(
    targets: readonly Target[],
    acquisition: Acquisition,
    around: ReadonlyMap<string, Claim> | undefined,
  ): Promise<Claim[] | Claim | typeof LOST> {
    const claims: Claim[] = []
    const { scope } = acquisition
    if (scope) scope.noteLocks(false)
    try {
      for (const target of targets) {
        this.#owner.checkOpen() // the service may have been closed during the wait for the lock before
        const shared = around?.get(target.exclusionKey)
        const { claim, isGranted } = shared
          ? { claim: shared, isGranted: true }
          : await this.claim(target, acquisition, outcomeOf)
        // A claim that was granted and is over by now was lost, or the service was closed: that is no timeout.
        if (!isGranted) {
          await endUnused(claims)
          return claim
        }
        if (shared) shared.shares++
        claims.push(claim)
        if (scope) scope.noteLocks(true)
      }
    } catch (error) {
      await endUnused(claims)
      if (!this.#isWorthAnotherTry(error, acquisition)) throw error
      refuseLost(claims, around)
      return LOST
    }
    // Also by the clock: the last answer may have come on another session, after a time in which nothing could run here.
    if (claims.every((claim) => claim.checkLease())) return claims
    await endUnused(claims)
    this.#owner.checkOpen()
    refuseLost(claims, around)
    return LOST
  }

  /** The connection of a call was lost before its work had begun, and there is time left. */
  #isWorthAnotherTry(error: unknown, { startedAt, call }: Acquisition): boolean {
    if (!(error instanceof NamedLockLostError) || this.#owner.isClosing) return false
    return monotonicNow() - startedAt < (call.timeout === 0 ? TRY_PATIENCE : call.timeout)
  }

  #slotFor(target: Target, { source }: Acquisition): ClaimSlot {
    const { slots } = this.#core
    if (target.permits) return slots.permitsFor(target, this.#owner)
    const { isShared, exclusionKey, literal } = target
    // Readers with connections of their own share the lock by way of the server.
    return isShared && source
      ? slots.slotBeside(exclusionKey, literal, this.#owner)
      : slots.slotFor(exclusionKey, literal, this.#owner)
  }

  #settled(claim: Claim, failure: Failure | undefined): void {
    this.#core.slots.settled(claim)
    if (failure === undefined) {
      this.#core.notes.wake()
      this.#owner.listener.acquired(claim)
    } else if (failure === 'timeout') this.#owner.listener.timedOut(claim)
  }

  #guardTransaction(names: LockNames): void {
    guardTransaction(this.#dataSource, names, this.#owner.settings.insideTransaction)
  }

  #sourceFor(call: CallSettings): NewSource | undefined {
    if (this.#owner.isPooled) throw outlivesTransaction()
    return call.session === 'dedicated' ? this.#newDedicatedSource : undefined
  }
}

/** The state when the claim is settled: a moment later the lock may be lost. */
const outcomeOf = (claim: Claim): { claim: Claim; isGranted: boolean } => ({
  claim,
  isGranted: claim.state === 'held',
})

/** A call that timed out has nothing to record. */
function recordLock(lock: HeldLock | Claim, trace: AcquireTrace): void {
  if (!(lock instanceof HeldLock)) return
  trace.lock = lock
  trace.keys = lock.keys
  const mode = lock.claims[0]?.acquisition.call.mode
  if (mode) trace.mode = mode
  lock.tracedBy(trace)
}
