import type { Acquirer } from '../acquire/acquirer.js'
import type { CallTargets } from '../acquire/call-targets.js'
import { claimAround } from '../acquire/held-around.js'
import { HeldLock } from '../acquire/held-lock.js'
import type { OwningService } from '../acquire/owning-service.js'
import { refuseUpgrade } from '../acquire/refusals.js'
import type { SharedCore } from '../acquire/shared-core.js'
import { NamedLockLostError } from '../contract/errors.js'
import type { LockNames } from '../contract/options.js'
import type { CallSettings } from '../contract/settings.js'
import type { Rollback } from '../dialect/dialect.js'
import { namesOf } from '../names/targets.js'
import { callUnder } from '../observe/tracing.js'
import type { Claim } from '../queue/claim.js'
import { currentScope, LockScope } from '../scope/lock-scope.js'
import type { SessionSource } from '../session/session-source.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { monotonicNow } from '../util/clock.js'
import { DedicatedSource } from '../work/dedicated-source.js'
import { BegunTransactionSource } from './begun-transaction-source.js'
import { heldElsewhere, nestedIsolation, noLongerActive } from './checks.js'
import type { Patience } from './locked-transaction.js'
import type { RunningTransactions } from './running-transactions.js'
import { TransactionLevel } from './transaction-level.js'
import { runToEnd, TransactionTry } from './transaction-try.js'
import { Tries } from './tries.js'

export type TransactionWork = (manager: any, lock: any) => unknown

/**
 * `transaction`: runs work in a transaction while locks are held on the same connection. Where the code around the call runs in such a
 * transaction and holds the locks already, the work runs in a savepoint of it.
 */
export class Transactions {
  readonly #dataSource: DataSourceLike
  readonly #core: SharedCore
  readonly #owner: OwningService
  readonly #targets: CallTargets
  readonly #acquirer: Acquirer
  readonly #running: RunningTransactions

  constructor(
    dataSource: DataSourceLike,
    core: SharedCore,
    owner: OwningService,
    targets: CallTargets,
    acquirer: Acquirer,
    running: RunningTransactions,
  ) {
    this.#dataSource = dataSource
    this.#core = core
    this.#owner = owner
    this.#targets = targets
    this.#acquirer = acquirer
    this.#running = running
  }

  run(names: LockNames, call: CallSettings, work: TransactionWork): Promise<unknown> {
    const level = this.#running.around
    return level ? this.#runWithin(level, names, call, work) : this.#runOutermost(names, call, work)
  }

  async #runWithin(
    level: TransactionLevel,
    names: LockNames,
    call: CallSettings,
    work: TransactionWork,
  ): Promise<unknown> {
    const held = await this.#heldIn(level, names, call)
    return held ? this.#runNested(level, held, names, call, work) : this.#runOutermost(names, call, work)
  }

  /** The claims of a call that the transaction around it, or the scopes around that, hold; undefined unless they hold all of them. */
  async #heldIn(level: TransactionLevel, names: LockNames, call: CallSettings): Promise<Claim[] | undefined> {
    const targets = await this.#targets.ofCall(names, call)
    const claims = targets.map(({ exclusionKey }) => {
      return level.claimOf(exclusionKey) ?? claimAround(this.#dataSource, exclusionKey)
    })
    if (!claims.every((claim) => claim !== undefined)) return undefined
    for (const claim of claims) refuseUpgrade(claim.target, call)
    return claims
  }

  #runOutermost(names: LockNames, call: CallSettings, work: TransactionWork): Promise<unknown> {
    if (!call.retry) return this.#runLocked(names, call, work)
    return this.#runInTries(names, call, work, new Tries(call.retry, this.#owner, call.signal))
  }

  /** Where a lock ends with its transaction, each try acquires it again. */
  async #runInTries(names: LockNames, call: CallSettings, work: TransactionWork, tries: Tries): Promise<unknown> {
    for (;;) {
      const result = await this.#runLocked(names, call, work, tries)
      if (!(result instanceof WithoutLock)) return result
      await tries.due(result.rollback, result.name, undefined)
    }
  }

  async #runLocked(names: LockNames, call: CallSettings, work: TransactionWork, tries?: Tries): Promise<unknown> {
    const startedAt = monotonicNow()
    let first: OwnSource | undefined
    const newSource = (): OwnSource => {
      const source = this.#newSource(call)
      first ??= source
      return source
    }
    const obtaining = this.#acquirer.obtainOn(newSource, names, call)
    // What the work needs of the connection is made ready while the server is asked for the lock.
    if (first instanceof DedicatedSource) first.prepare()
    const lock = await obtaining.catch(nothingWritten)
    if (!(lock instanceof HeldLock)) throw await this.#acquirer.timeoutError(lock)
    const scope = lock.scope as LockScope
    const source = lock.claims[0]?.source
    if (!isOwnSource(source) || lock.claims.some((claim) => claim.source !== source)) {
      await lock.release()
      throw heldElsewhere(lock.name)
    }
    const begun = { milliseconds: startedAt + call.timeout - monotonicNow(), signal: call.signal }
    const only = tries ? undefined : this.#newTry(lock, scope, source, call)
    lock.beginTransaction()
    try {
      return await callUnder(lock.trace, () => {
        return only ? only.run(begun, work) : this.#runUnder(lock, scope, source, call, begun, work, tries as Tries)
      })
    } finally {
      scope.end()
      const added = only?.end()
      lock.endTransaction()
      await lock.release()
      await added
    }
  }

  /**
   * Runs the work under a lock until a try of it ends otherwise than by a rollback that is worth a repetition. Each try has a scope of
   * its own inside the call's, and ends before the next one begins. Resolves to WithoutLock where that needs the lock again.
   */
  async #runUnder(
    lock: HeldLock,
    scope: LockScope,
    source: OwnSource,
    call: CallSettings,
    begun: Patience,
    work: TransactionWork,
    tries: Tries,
  ): Promise<unknown> {
    for (let patience = begun; ; patience = { milliseconds: call.timeout, signal: call.signal }) {
      const one = this.#newTry(lock, new LockScope(scope, this.#dataSource, scope.keys), source, call)
      let error: unknown
      try {
        return await one.run(patience, work)
      } catch (failure) {
        error = failure
      } finally {
        await one.end()
      }
      const rollback = await tries.failed(error, one.transaction.rollback, lock)
      if (source instanceof BegunTransactionSource) return new WithoutLock(lock.name, rollback)
      source.renew()
      await tries.due(rollback, lock.name, lock)
    }
  }

  #newTry(lock: HeldLock, scope: LockScope, source: OwnSource, call: CallSettings): TransactionTry {
    const { settings } = this.#owner
    return new TransactionTry(
      lock,
      settings,
      scope,
      source.bound,
      call.isolation,
      this.#beginOf(source, lock),
      this.#running,
    )
  }

  #newSource(call: CallSettings): OwnSource {
    const { sessions } = this.#core
    return this.#owner.isPooled
      ? new BegunTransactionSource(this.#dataSource, sessions, call.isolation)
      : new DedicatedSource(this.#dataSource, sessions.work)
  }

  /** A transaction that began before its locks came has to see what is committed by now; any other is begun by TypeORM: undefined. */
  #beginOf(source: OwnSource, lock: HeldLock): (() => Promise<void>) | undefined {
    if (!(source instanceof BegunTransactionSource)) return undefined
    const literals = lock.claims.map(({ literal }) => literal)
    return () => source.renewSnapshot(literals, this.#owner.settings.lease)
  }

  #runNested(
    level: TransactionLevel,
    claims: readonly Claim[],
    names: LockNames,
    call: CallSettings,
    work: TransactionWork,
  ): Promise<unknown> {
    const { transaction } = level
    nestedIsolation(call.isolation, transaction.isolation)
    return level.savepoints.run(async () => {
      if (!level.isActive) throw noLongerActive(transaction.locks)
      const keys = claims.map((claim) => claim.target.exclusionKey)
      const scope = new LockScope(currentScope(), this.#dataSource, keys)
      for (const claim of claims) claim.shares++
      const lock = new HeldLock(namesOf(names), claims, scope, this.#owner)
      scope.begin(lock, new TransactionLevel(transaction, level.call))
      lock.beginTransaction()
      try {
        return await transaction.runNested(lock, () => runToEnd(scope, () => work(level.manager, lock)))
      } finally {
        scope.end()
        lock.endTransaction()
        await lock.release()
      }
    })
  }
}

/** The connection of one call, on which a transaction can run. */
type OwnSource = DedicatedSource | BegunTransactionSource

function isOwnSource(source: SessionSource | undefined): source is OwnSource {
  return source instanceof DedicatedSource || source instanceof BegunTransactionSource
}

/** The result of a call whose work is to run again, after its lock has ended. */
class WithoutLock {
  constructor(
    readonly name: string,
    readonly rollback: Rollback,
  ) {}
}

/** The lock was lost before the transaction had begun. */
function nothingWritten(error: unknown): never {
  if (!(error instanceof NamedLockLostError) || error.outcome) throw error
  throw new NamedLockLostError(error.message, { cause: error.cause, outcome: 'rolledBack' })
}
