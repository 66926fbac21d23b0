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
import { namesOf } from '../names/targets.js'
import { callUnder } from '../observe/tracing.js'
import type { Claim } from '../queue/claim.js'
import { currentScope, LockScope, runInScope, scopeAround } from '../scope/lock-scope.js'
import type { SessionSource } from '../session/session-source.js'
import type { Session } from '../session/session.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { monotonicNow } from '../util/clock.js'
import { DedicatedSource } from '../work/dedicated-source.js'
import { BegunTransactionSource } from './begun-transaction-source.js'
import { heldElsewhere, nestedIsolation, noLongerActive } from './checks.js'
import { LockedTransaction } from './locked-transaction.js'
import type { RunningTransactions } from './running-transactions.js'
import { TransactionLevel } from './transaction-level.js'
import { TransactionLocks } from './transaction-locks.js'

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
    if (!call.shared) for (const claim of claims) refuseUpgrade(claim.target)
    return claims
  }

  async #runOutermost(names: LockNames, call: CallSettings, work: TransactionWork): Promise<unknown> {
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
    const { runner, work: connection } = source.bound
    const locks = new TransactionLocks(runner, lock.claims[0]?.session as Session, connection, scope, lock.claims)
    const transaction = new LockedTransaction(locks, call.isolation, this.#beginOf(source, lock))
    const level = new TransactionLevel(transaction, true)
    this.#running.begin(runner, level)
    scope.begin(lock, level)
    lock.beginTransaction()
    const around = scopeAround(scope, level)
    try {
      const inScope = (): Promise<unknown> => runToEnd(scope, () => work(runner.manager, lock))
      const begun = { milliseconds: startedAt + call.timeout - monotonicNow(), signal: call.signal }
      return await callUnder(lock.trace, () => runInScope(around, () => transaction.run(lock, begun, inScope)))
    } finally {
      scope.end()
      around.end()
      lock.endTransaction()
      this.#running.end(runner)
      const added = locks.release()
      await lock.release()
      await added
    }
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
      scope.begin(lock, new TransactionLevel(transaction, true))
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

/** Closes the scope with the work, before its transaction is committed or rolled back: branches that go on can add nothing to it. */
async function runToEnd(scope: LockScope, work: () => unknown): Promise<unknown> {
  try {
    return await runInScope(scope, work)
  } finally {
    scope.end()
  }
}

/** The lock was lost before the transaction had begun. */
function nothingWritten(error: unknown): never {
  if (!(error instanceof NamedLockLostError) || error.outcome) throw error
  throw new NamedLockLostError(error.message, { cause: error.cause, outcome: 'rolledBack' })
}
