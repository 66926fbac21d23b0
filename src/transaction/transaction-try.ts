import type { HeldLock } from '../acquire/held-lock.js'
import type { TransactionOptions } from '../contract/options.js'
import { runInScope, scopeAround, type LockScope } from '../scope/lock-scope.js'
import type { Session } from '../session/session.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import type { BoundRunner } from '../work/bound-runner.js'
import { LockedTransaction, type Patience } from './locked-transaction.js'
import type { RunningTransactions } from './running-transactions.js'
import { TransactionLevel, type TransactionCall } from './transaction-level.js'
import { TransactionLocks } from './transaction-locks.js'

/**
 * One run of the work of `transaction`: a transaction under a held lock, and the scopes of its work and of its end. Most calls have one;
 * with the option `retry` the next one follows when the server has rolled the transaction back.
 */
export class TransactionTry {
  readonly transaction: LockedTransaction
  readonly #lock: HeldLock
  readonly #scope: LockScope
  readonly #around: LockScope
  readonly #runner: WorkRunner
  readonly #running: RunningTransactions

  /**
   * @param scope Of the work.
   * @param begin Begins the transaction, where TypeORM does not.
   */
  constructor(
    lock: HeldLock,
    settings: TransactionCall['settings'],
    scope: LockScope,
    { runner, work }: BoundRunner,
    isolation: TransactionOptions['isolation'],
    begin: (() => Promise<void>) | undefined,
    running: RunningTransactions,
  ) {
    const locks = new TransactionLocks(runner, lock.claims[0]?.session as Session, work, scope, lock.claims)
    this.transaction = new LockedTransaction(locks, isolation, begin)
    const level = new TransactionLevel(this.transaction, { lock, settings })
    running.begin(runner, level)
    scope.begin(lock, level)
    this.#around = scopeAround(scope, level)
    this.#lock = lock
    this.#scope = scope
    this.#runner = runner
    this.#running = running
  }

  run(begun: Patience, work: (manager: any, lock: any) => unknown): Promise<unknown> {
    const inScope = (): Promise<unknown> => runToEnd(this.#scope, () => work(this.#runner.manager, this.#lock))
    return runInScope(this.#around, () => this.transaction.run(this.#lock, begun, inScope))
  }

  /** The transaction has ended. Resolves when the locks that were added in it are released; undefined: there are none. */
  end(): Promise<void> | undefined {
    this.#scope.end()
    this.#around.end()
    this.#running.end(this.#runner)
    return this.transaction.locks.release()
  }
}

/** Closes the scope with the work, before its transaction is committed or rolled back: branches that go on can add nothing to it. */
export async function runToEnd(scope: LockScope, work: () => unknown): Promise<unknown> {
  try {
    return await runInScope(scope, work)
  } finally {
    scope.end()
  }
}
