import type { Acquirer } from '../acquire/acquirer.js'
import type { CallTargets } from '../acquire/call-targets.js'
import { endUnused } from '../acquire/claim-end.js'
import { claimAround } from '../acquire/held-around.js'
import type { OwningService } from '../acquire/owning-service.js'
import { reentrancyRefused, refuseUpgrade } from '../acquire/refusals.js'
import type { SharedCore } from '../acquire/shared-core.js'
import type { LockNames } from '../contract/options.js'
import type { CallSettings } from '../contract/settings.js'
import type { Target } from '../names/targets.js'
import type { Acquisition } from '../queue/acquisition.js'
import type { Claim } from '../queue/claim.js'
import { currentScope, isWithin } from '../scope/lock-scope.js'
import type { LostListener } from '../session/session.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { monotonicNow } from '../util/clock.js'
import { noLongerActive, refuseInSavepoint, refuseOldSnapshot, runnerOf } from './checks.js'
import { RunningTransactionSource } from './running-transaction-source.js'
import type { RunningTransactions } from './running-transactions.js'
import type { TransactionLocks } from './transaction-locks.js'

/**
 * `lockTransaction`: acquires locks inside a transaction that runs already, on its own connection. They last until the transaction has
 * ended, so the call has no handle.
 */
export class TransactionLocker {
  readonly #dataSource: DataSourceLike
  readonly #core: SharedCore
  readonly #owner: OwningService
  readonly #targets: CallTargets
  readonly #acquirer: Acquirer
  readonly #running: RunningTransactions
  /** One listener for all calls: a session registers it once. Another service of the DataSource may own the session. */
  readonly #sessionLost: LostListener = (session, error) => this.#core.slots.sessionLost(session, error)

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

  /** Resolves to the keys, when the transaction holds all of the locks. */
  async lock(manager: unknown, names: LockNames, call: CallSettings): Promise<readonly string[]> {
    const startedAt = monotonicNow()
    const its = (): WorkRunner => runnerOf(manager, this.#dataSource)
    const targets = await this.#targets.ofCall(names, call, its)
    const runner = its()
    if (this.#owner.isPooled) refuseInSavepoint(runner, targets)
    const { locks } = (await this.#running.on(runner)).transaction
    if (this.#owner.isPooled) refuseOldSnapshot(locks.session.facts.isolation, targets)
    locks.session.whenLost(this.#sessionLost)
    await locks.waits.run(() => this.#lockAll(locks, targets, call, startedAt))
    return targets.map(({ key }) => key)
  }

  async #lockAll(
    locks: TransactionLocks,
    targets: readonly Target[],
    call: CallSettings,
    startedAt: number,
  ): Promise<void> {
    call.signal?.throwIfAborted()
    const held = targets.map(({ exclusionKey }) => {
      return (
        locks.claimOf(exclusionKey) ??
        claimAround(this.#dataSource, exclusionKey) ??
        this.#claimOn(locks.session.connectionId, exclusionKey)
      )
    })
    const again = held.findIndex((claim) => claim !== undefined)
    if (again >= 0 && !call.reentrant) throw reentrancyRefused(targets[again]?.name as string)
    const around = currentScope()
    const waitsIn = around && isWithin(around, locks.scope) ? around : locks.scope
    const taken: Claim[] = []
    let source: RunningTransactionSource | undefined
    try {
      for (const [i, target] of targets.entries()) {
        if (held[i]) refuseUpgrade(held[i].target, call)
        if (locks.claimOf(target.exclusionKey)) continue
        source = new RunningTransactionSource(locks)
        const claim = held[i] ?? (await this.#claim(target, { call, startedAt, source, scope: locks.scope, waitsIn }))
        // A claim may be granted, and lost with its connection at once: that is no timeout.
        if (claim.state !== 'held') throw locks.session.lostError ?? (await this.#acquirer.timeoutError(claim))
        if (held[i]) claim.shares++
        taken.push(claim)
      }
      if (!locks.isActive) throw noLongerActive(locks)
    } catch (error) {
      await endUnused(taken)
      await source?.connectionIsBack()
      throw error
    }
    for (const claim of taken) locks.add(claim)
  }

  /**
   * The claim of a handle on the transaction's own connection. A server lets a connection have its locks again, so that a reader would
   * become a writer there; and any other lock would be waited for until the call's time is over.
   */
  #claimOn(connectionId: string, exclusionKey: string): Claim | undefined {
    const holders = this.#core.slots.holdersInProcess(exclusionKey)
    return holders.find((claim) => claim.session?.connectionId === connectionId)
  }

  #claim(target: Target, acquisition: Acquisition): Promise<Claim> {
    this.#owner.checkOpen()
    return this.#acquirer.claim(target, acquisition, (claim) => claim)
  }
}
