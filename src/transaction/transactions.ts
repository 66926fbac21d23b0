import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { NamedLockLostError, NamedLockReentrancyError } from '../contract/errors.js'
import type { Acquirer } from '../acquire/acquirer.js'
import type { CallTargets } from '../acquire/call-targets.js'
import { endUnused } from '../acquire/claim-end.js'
import { claimAround } from '../acquire/held-around.js'
import { HeldLock } from '../acquire/held-lock.js'
import type { OwningService } from '../acquire/owning-service.js'
import { reentrancyRefused, refuseUpgrade } from '../acquire/refusals.js'
import type { SharedCore } from '../acquire/shared-core.js'
import type { Acquisition } from '../queue/acquisition.js'
import { currentScope, isWithin, LockScope, runInScope, scopeAround, transactionScope } from '../scope/lock-scope.js'
import type { LockNames } from '../contract/options.js'
import type { Claim } from '../queue/claim.js'
import type { SessionSource } from '../session/session-source.js'
import { DedicatedSource } from '../work/dedicated-source.js'
import type { Session } from '../session/session.js'
import type { CallSettings } from '../contract/settings.js'
import { namesOf, type Target } from '../names/targets.js'
import { callUnder } from '../observe/tracing.js'
import { processWide } from '../util/process-wide.js'
import { adoptTransaction } from './adopted-transaction.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { nestedIsolation, noLongerActive, refuseInSavepoint, refuseOldSnapshot, runnerOf } from './checks.js'
import { LastingSource } from './running-transaction-source.js'
import { ForeignTransaction, Level } from './transaction-level.js'
import { LockedTransaction } from './locked-transaction.js'
import { TransactionLocks } from './transaction-locks.js'
import { TransactionSource } from './begun-transaction-source.js'
import { clearTimeout, monotonicNow, setTimeout } from '../util/clock.js'

export type TransactionWork = (manager: any, lock: any) => unknown

/** By QueryRunner, for all services of the process: a transaction has its locks once. */
const levels = processWide('levels', () => new WeakMap<object, Level>())
const adopting = processWide('adopting', () => new WeakMap<object, Promise<Level>>())

/** `transaction` and `lockTransaction`: locks that end with a transaction, on its own connection. */
export class Transactions {
  readonly #dataSource: DataSourceLike
  readonly #core: SharedCore
  readonly #owner: OwningService
  readonly #targets: CallTargets
  readonly #acquirer: Acquirer

  constructor(
    dataSource: DataSourceLike,
    core: SharedCore,
    owner: OwningService,
    targets: CallTargets,
    acquirer: Acquirer,
  ) {
    this.#dataSource = dataSource
    this.#core = core
    this.#owner = owner
    this.#targets = targets
    this.#acquirer = acquirer
  }

  /** `transaction`: a transaction of its own, or a savepoint where the names are held and a transaction runs already. */
  run(names: LockNames, call: CallSettings, work: TransactionWork): Promise<unknown> {
    const level = this.#currentLevel()
    return level ? this.#runWithin(level, names, call, work) : this.#runOutermost(names, call, work)
  }

  async #runWithin(level: Level, names: LockNames, call: CallSettings, work: TransactionWork): Promise<unknown> {
    const held = await this.#heldIn(level, names, call)
    return held ? this.#runNested(level, held, names, call, work) : this.#runOutermost(names, call, work)
  }

  /** `lockTransaction`; resolves to the keys. */
  async lock(manager: unknown, names: LockNames, call: CallSettings): Promise<readonly string[]> {
    const startedAt = monotonicNow()
    const its = (): WorkRunner => runnerOf(manager, this.#dataSource)
    const targets = await this.#targets.ofCall(names, call, its)
    const runner = its()
    if (this.#owner.isPooled) refuseInSavepoint(runner, targets)
    const { locks } = (await this.#levelOf(runner)).transaction
    if (this.#owner.isPooled) refuseOldSnapshot(locks.session.facts.isolation, targets)
    locks.watchFor((session, error) => this.#core.slots.sessionLost(session, error))
    await locks.turns.take(() => this.#lockAll(locks, targets, call, startedAt))
    return targets.map(({ key }) => key)
  }

  async #runOutermost(names: LockNames, call: CallSettings, work: TransactionWork): Promise<unknown> {
    const dataSource = this.#dataSource
    const { sessions } = this.#core
    const { isPooled, settings } = this.#owner
    const startedAt = monotonicNow()
    let first: DedicatedSource | TransactionSource | undefined
    const obtaining = this.#acquirer.obtainOn(
      () => {
        const own = isPooled
          ? new TransactionSource(dataSource, sessions, call.isolation)
          : new DedicatedSource(dataSource, sessions.work)
        first ??= own
        return own
      },
      names,
      call,
    )
    prepare(first)
    const lock = await obtaining.catch(nothingWritten)
    if (!(lock instanceof HeldLock)) throw await this.#acquirer.timeoutError(lock)
    const scope = lock.scope as LockScope
    const source = lock.claims[0]?.source
    if (!isOwnConnection(source) || lock.claims.some((claim) => claim.source !== source)) {
      await lock.release()
      throw heldElsewhere(lock)
    }
    const { runner, work: connection } = source.bound
    const locks = new TransactionLocks(runner, lock.claims[0]?.session as Session, connection, scope, lock.claims)
    const literals = lock.claims.map(({ literal }) => literal)
    const begin =
      source instanceof TransactionSource
        ? (): Promise<void> => source.renewSnapshot(literals, settings.lease)
        : undefined
    const transaction = new LockedTransaction(locks, call.isolation, begin)
    const level = new Level(transaction, true)
    levels.set(runner, level)
    scope.lock = lock
    scope.transaction = level
    lock.lasts = true
    const around = scopeAround(scope)
    try {
      const inScope = (): Promise<unknown> => runToEnd(scope, () => work(runner.manager, lock))
      const begun = { milliseconds: startedAt + call.timeout - monotonicNow(), signal: call.signal }
      return await callUnder(lock.trace, () => runInScope(around, () => transaction.run(lock, begun, inScope)))
    } finally {
      scope.open = around.open = false
      lock.lasts = false
      levels.delete(runner)
      const added = locks.giveBack()
      await lock.release()
      await added
    }
  }

  #runNested(
    level: Level,
    claims: readonly Claim[],
    names: LockNames,
    call: CallSettings,
    work: TransactionWork,
  ): Promise<unknown> {
    const { transaction } = level
    nestedIsolation(call.isolation, transaction.isolation)
    return level.savepoints.take(async () => {
      if (!level.isActive) throw noLongerActive(transaction.locks)
      const keys = claims.map((claim) => claim.target.exclusionKey)
      const scope = new LockScope(currentScope(), this.#dataSource, keys)
      for (const claim of claims) claim.shares++
      const lock = new HeldLock(namesOf(names), claims, scope, this.#owner)
      scope.lock = lock
      scope.transaction = new Level(transaction, true)
      lock.lasts = true
      try {
        return await transaction.runNested(lock, () => runToEnd(scope, () => work(level.manager, lock)))
      } finally {
        scope.open = false
        lock.lasts = false
        await lock.release()
      }
    })
  }

  async #lockAll(
    locks: TransactionLocks,
    targets: readonly Target[],
    call: CallSettings,
    startedAt: number,
  ): Promise<void> {
    call.signal?.throwIfAborted()
    const held = targets.map(
      (target) => locks.claimOf(target.exclusionKey) ?? claimAround(this.#dataSource, target.exclusionKey),
    )
    const again = held.findIndex((claim) => claim !== undefined)
    if (again >= 0 && !call.reentrant) throw reentrancyRefused(targets[again]?.name as string)
    const around = currentScope()
    const waitsIn = around && isWithin(around, locks.scope) ? around : locks.scope
    const taken: Claim[] = []
    let source: LastingSource | undefined
    try {
      for (const [i, target] of targets.entries()) {
        if (held[i] && !call.shared) refuseUpgrade(held[i].target)
        if (locks.claimOf(target.exclusionKey)) continue
        source = new LastingSource(locks)
        const claim = held[i] ?? (await this.#claim(target, { call, startedAt, source, scope: locks.scope, waitsIn }))
        // It may have been granted, and lost with its connection at once: that is no timeout.
        if (claim.state !== 'held') throw locks.session.lostError ?? (await this.#acquirer.timeoutError(claim))
        if (held[i]) claim.shares++
        taken.push(claim)
      }
      if (!locks.isActive) throw noLongerActive(locks)
    } catch (error) {
      await endUnused(taken)
      if (source) await connectionIsBack(source, locks.session)
      throw error
    }
    for (const claim of taken) locks.add(claim)
  }

  #claim(target: Target, acquisition: Acquisition): Promise<Claim> {
    this.#owner.checkOpen()
    return this.#acquirer.claim(target, acquisition, (claim) => claim)
  }

  /** The transaction around the running code, where it is one whose locks are known. */
  #currentLevel(): Level | undefined {
    const dataSource = this.#dataSource
    const scoped = transactionScope(dataSource)?.transaction
    if (scoped instanceof Level) return scoped
    if (scoped instanceof ForeignTransaction && scoped.level) return scoped.level
    const { queryRunner } = dataSource.manager
    const level = queryRunner && levels.get(queryRunner)
    return level?.isActive ? level : undefined
  }

  async #heldIn(level: Level, names: LockNames, call: CallSettings): Promise<Claim[] | undefined> {
    const targets = await this.#targets.ofCall(names, call)
    const claims = targets.map(
      (target) => level.claimOf(target.exclusionKey) ?? claimAround(this.#dataSource, target.exclusionKey),
    )
    if (!claims.every((claim) => claim !== undefined)) return undefined
    if (!call.shared) for (const claim of claims) refuseUpgrade(claim.target)
    return claims
  }

  #levelOf(runner: WorkRunner): Promise<Level> {
    const known = levels.get(runner)
    if (known?.isActive) return Promise.resolve(known)
    let level = adopting.get(runner)
    if (!level) {
      level = this.#adopt(runner).finally(() => adopting.delete(runner))
      adopting.set(runner, level)
    }
    return level
  }

  async #adopt(runner: WorkRunner): Promise<Level> {
    const dataSource = this.#dataSource
    const { sessions } = this.#core
    const around = transactionScope(dataSource)
    const foreign = around?.transaction instanceof ForeignTransaction ? around.transaction : undefined
    const isKnown = foreign?.runner === runner
    const scope = isKnown && around ? around : new LockScope(currentScope(), dataSource, [])
    const locks = await adoptTransaction(
      runner,
      sessions,
      scope,
      () => levels.get(runner),
      () => {
        levels.delete(runner)
        if (isKnown) foreign.level = undefined
      },
    )
    const level = new Level(new LockedTransaction(locks, undefined), false)
    levels.set(runner, level)
    if (isKnown) foreign.level = level
    return level
  }
}

/** The scope is over with the work, before anything is done about its transaction: branches that go on can add nothing to that. */
async function runToEnd(scope: LockScope, work: () => unknown): Promise<unknown> {
  try {
    return await runInScope(scope, work)
  } finally {
    scope.open = false
  }
}

/** How long the connection of a transaction may take to come back from a wait that is of no use any more, in milliseconds. */
const RETURN_PATIENCE = 1_500

/**
 * Resolves when the connection is there for the transaction again. Nothing may be sent on it before the wait is answered: the lock may have
 * been granted, and a late cancel would hit the next statement. In a silent network that answer does not come, so the connection ends then.
 */
async function connectionIsBack(source: LastingSource, session: Session): Promise<void> {
  if (session.lostError) return
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, RETURN_PATIENCE)))
  let isBack = false
  await Promise.race([source.returned.then(() => (isBack = true)), late])
  clearTimeout(timer)
  if (!isBack) session.lose(new Error('the database did not answer when a wait for a lock was to end'))
}

/** The lock was lost before the transaction had begun. */
function nothingWritten(error: unknown): never {
  if (!(error instanceof NamedLockLostError) || error.outcome) throw error
  throw new NamedLockLostError(error.message, { cause: error.cause, outcome: 'rolledBack' })
}

/** What the work needs of the connection, while the lock is being asked for. */
function prepare(source: SessionSource | undefined): void {
  if (source instanceof DedicatedSource) source.prepare()
}

function isOwnConnection(source: SessionSource | undefined): source is DedicatedSource | TransactionSource {
  return source instanceof DedicatedSource || source instanceof TransactionSource
}

function heldElsewhere(lock: HeldLock): NamedLockReentrancyError {
  return new NamedLockReentrancyError(
    `The lock '${lock.name}' is held by the running scope on another connection: a transaction needs it on its own. ` +
      'Use transaction in the place of the withLock around it, or a plain dataSource.transaction inside of it.',
  )
}
