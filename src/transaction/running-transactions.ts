import { currentScope, LockScope, transactionScope } from '../scope/lock-scope.js'
import type { Sessions } from '../session/sessions.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { processWide } from '../util/process-wide.js'
import { adoptTransaction } from './adopted-transaction.js'
import { LockedTransaction } from './locked-transaction.js'
import { ForeignTransaction, TransactionLevel } from './transaction-level.js'

/** By QueryRunner, for all services of the process: a transaction has its locks once. Entries end with their transactions. */
const levels = processWide('levels', () => new WeakMap<object, TransactionLevel>())
/** The first calls of `lockTransaction` in a transaction, while its connection is being made ready. */
const adopting = processWide('adopting', () => new WeakMap<object, Promise<TransactionLevel>>())

/** The transactions with locks: which one runs on a QueryRunner, and which one around the running code. */
export class RunningTransactions {
  readonly #dataSource: DataSourceLike
  readonly #sessions: Sessions

  constructor(dataSource: DataSourceLike, sessions: Sessions) {
    this.#dataSource = dataSource
    this.#sessions = sessions
  }

  /** The transaction around the running code; undefined for one in which no lock was acquired yet. */
  get around(): TransactionLevel | undefined {
    const scoped = transactionScope(this.#dataSource)?.transaction
    if (scoped instanceof TransactionLevel) return scoped
    if (scoped instanceof ForeignTransaction && scoped.level) return scoped.level
    const { queryRunner } = this.#dataSource.manager
    const level = queryRunner && levels.get(queryRunner)
    return level?.isActive ? level : undefined
  }

  /** A transaction of the library begins on a QueryRunner. */
  begin(runner: WorkRunner, level: TransactionLevel): void {
    levels.set(runner, level)
  }

  end(runner: WorkRunner): void {
    levels.delete(runner)
  }

  /** The transaction that runs on a QueryRunner. One of the application's is adopted with its first lock. */
  on(runner: WorkRunner): Promise<TransactionLevel> {
    const known = levels.get(runner)
    if (known?.isActive) return Promise.resolve(known)
    let level = adopting.get(runner)
    if (!level) {
      level = this.#adopt(runner).finally(() => adopting.delete(runner))
      adopting.set(runner, level)
    }
    return level
  }

  async #adopt(runner: WorkRunner): Promise<TransactionLevel> {
    const around = transactionScope(this.#dataSource)
    const foreign = around?.transaction instanceof ForeignTransaction ? around.transaction : undefined
    const isKnown = foreign?.runner === runner
    const scope = isKnown && around ? around : new LockScope(currentScope(), this.#dataSource, [])
    const locks = await adoptTransaction(
      runner,
      this.#sessions,
      scope,
      () => levels.get(runner),
      () => {
        levels.delete(runner)
        if (isKnown) foreign.end()
      },
    )
    const level = new TransactionLevel(new LockedTransaction(locks, undefined))
    levels.set(runner, level)
    if (isKnown) foreign.adoptedAs(level)
    return level
  }
}
