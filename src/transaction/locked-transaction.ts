import { NamedLockConfigurationError, NamedLockError, NamedLockLostError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import type { HeldLock } from '../acquire/held-lock.js'
import { beginTimeoutError } from '../acquire/timeout-error.js'
import type { TransactionOptions } from '../contract/options.js'
import type { Rollback } from '../dialect/dialect.js'
import { within } from '../util/within.js'
import type { TransactionLocks } from './transaction-locks.js'

/** How long a BEGIN may take at least, in milliseconds. */
const BEGIN_PATIENCE = 1_000

/** How long a caller waits for the transaction to begin. */
export interface Patience {
  readonly milliseconds: number
  readonly signal: AbortSignal | undefined
}

type Isolation = TransactionOptions['isolation']

/**
 * The transaction of a lock that is held on the same connection: the snapshot begins after the lock was taken, the lock ends
 * after the COMMIT, and when the connection dies both die together.
 *
 * Errors of the work are rethrown unchanged, after a ROLLBACK. Errors that the dying connection caused become a
 * NamedLockLostError with the outcome of the transaction.
 */
export class LockedTransaction {
  readonly locks: TransactionLocks
  readonly isolation: Isolation
  readonly #begin: () => Promise<void>
  /** The error of a failed rollback to a savepoint: the transaction cannot be committed any more, though the work may not know it. */
  #doom: unknown
  #rollback: Rollback | undefined
  /** The COMMIT was requested, and has not failed. */
  #isCommitting = false

  /** @param begin Begins the transaction, where TypeORM does not. */
  constructor(locks: TransactionLocks, isolation: Isolation, begin?: () => Promise<void>) {
    this.locks = locks
    this.isolation = isolation
    this.#begin = begin ?? (() => locks.runner.startTransaction(isolation))
  }

  /** The server has rolled the transaction back, for a reason that a repetition may not meet; undefined for any other end. */
  get rollback(): Rollback | undefined {
    return this.#rollback
  }

  /** Everything is written, also where the call rejects with the error of a subscriber. */
  get isCommitted(): boolean {
    const { work, runner } = this.locks
    return work.isCommitted || (this.#isCommitting && !runner.isTransactionActive && !work.commitRefusedBy)
  }

  /**
   * @param begun How long the caller waits for the transaction to begin. After that the work takes its own time, and a statement that the
   *   database does not answer ends with the lease.
   */
  async run(lock: HeldLock, begun: Patience, work: () => unknown): Promise<unknown> {
    let result: unknown
    try {
      await this.#beginWithin(lock, begun)
      result = await work()
    } catch (error) {
      await this.#rollBackFailed()
      throw this.#explain(lock, error)
    }
    if (!lock.isHeld) await lock.whenCertain()
    if (this.#doom || !lock.isHeld) {
      await this.#rollBackFailed()
      throw this.#doom ?? lostWith(lock, 'rolledBack', lock.lostError)
    }
    await this.#commit(lock)
    return result
  }

  /** A transaction inside the transaction. It may fail alone: the transaction around it goes on. */
  async runNested(lock: HeldLock, work: () => unknown): Promise<unknown> {
    const { runner } = this.locks
    await runner.startTransaction().catch((error: unknown) => {
      throw this.#explain(lock, error)
    })
    try {
      const result = await work()
      if (!lock.isHeld) await lock.whenCertain()
      if (!lock.isHeld) throw lostWith(lock, 'rolledBack', lock.lostError)
      await runner.commitTransaction()
      return result
    } catch (error) {
      // Without its savepoint (the server rolls everything back after a deadlock) the work before it is gone, too: commit nothing.
      if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => (this.#doom ??= error))
      throw this.#explain(lock, error)
    }
  }

  async #beginWithin(lock: HeldLock, { milliseconds, signal }: Patience): Promise<void> {
    // On a healthy network the lock may be granted in the last millisecond of the caller's time: do not waste it.
    const time = Math.max(milliseconds, BEGIN_PATIENCE)
    let isLate = false
    try {
      await within(this.#begin(), time, signal, () => {
        isLate = true
        return beginTimeoutError(lock.name, time)
      })
    } catch (error) {
      // The BEGIN may still be under way.
      if (isLate || signal?.aborted) this.locks.session.lose(error)
      throw error
    }
  }

  async #commit(lock: HeldLock): Promise<void> {
    const { runner, work, session } = this.locks
    if (work.endedBy instanceof NamedLockError) {
      const { endedBy } = work
      await this.#rollBack()
      throw endedBy
    }
    this.#isCommitting = true
    try {
      await runner.commitTransaction()
    } catch (error) {
      this.#isCommitting = false
      if (work.isCommitted) throw this.#committed(lock, error)
      if (work.isCommitInDoubt) {
        session.lose(error)
        throw lostWith(lock, 'unknown', error)
      }
      await this.#rollBackFailed()
      throw this.#explain(lock, error)
    }
    const refusedBy = work.commitRefusedBy
    if (refusedBy) {
      this.#rollback = work.rollback
      throw new NamedLockError(
        because(
          'rolled-back',
          `The transaction under lock '${lock.name}' was rolled back, although its work returned: a statement in it had failed ` +
            `(${refusedBy.message}), and the work did not rethrow that error.`,
        ),
        { cause: refusedBy },
      )
    }
    // Not by TypeORM's flag alone: a branch that outlives the work may have begun another transaction, which is refused.
    if (work.isCommitted || !runner.isTransactionActive) return
    await this.#rollBack()
    throw new NamedLockConfigurationError(
      `The work under lock '${lock.name}' began a transaction on its QueryRunner and did not end it, so everything was rolled back. End it inside the work.`,
    )
  }

  /** Looks for the reason before the ROLLBACK: until that is sent, branches of the work that go on may meet other errors. */
  #rollBackFailed(): Promise<void> {
    this.#rollback = this.locks.work.rollback
    return this.#rollBack()
  }

  /** A transaction that cannot be rolled back must not stay on a connection that is used again: the session is lost then. */
  async #rollBack(): Promise<void> {
    const { runner, session, work } = this.locks
    if (!runner.isTransactionActive || session.lostError) return
    await runner.rollbackTransaction().catch(() => {})
    if (!runner.isTransactionActive) return
    await work.rollBack().then(
      () => ((runner as { isTransactionActive: boolean }).isTransactionActive = false),
      (error: unknown) => session.lose(error),
    )
  }

  #explain(lock: HeldLock, error: unknown): unknown {
    const { work, session } = this.locks
    return session.lostError && work.isFailure(error) ? lostWith(lock, 'rolledBack', error) : error
  }

  #committed(lock: HeldLock, cause: unknown): NamedLockError {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new NamedLockError(
      `The transaction under lock '${lock.name}' was committed, but a subscriber failed after the COMMIT: ${reason}. Do not repeat the work.`,
      { cause, code: 'COMMITTED', outcome: 'committed' },
    )
  }
}

/** The loss of a lock with its transaction. */
export function lostWith(lock: HeldLock, outcome: 'rolledBack' | 'unknown', cause: unknown): NamedLockLostError {
  const what = `The connection of lock '${lock.name}' and its transaction was lost`
  return new NamedLockLostError(
    outcome === 'unknown'
      ? because('lost-in-commit', `${what} during the COMMIT. The transaction was either committed or rolled back.`)
      : `${what}: the transaction was rolled back.`,
    { cause, outcome },
  )
}
