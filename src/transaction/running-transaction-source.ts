import type { SessionSource } from '../session/session-source.js'
import type { Session } from '../session/session.js'
import { LentConnection } from '../work/lent-connection.js'
import type { TransactionLocks } from './transaction-locks.js'

/** The connection of a running transaction, lent to one wait for a lock that lasts as long as the transaction. */
export class RunningTransactionSource implements SessionSource {
  readonly isInUse = true
  readonly inTransaction = true
  readonly obstacle = undefined
  readonly #locks: TransactionLocks
  readonly #lent = new LentConnection()

  constructor(locks: TransactionLocks) {
    this.#locks = locks
  }

  get manager(): unknown {
    return this.#locks.runner.manager
  }

  /** Resolves when the transaction can use its connection again, after the wait has failed. */
  connectionIsBack(): Promise<void> {
    return this.#lent.isBack(this.#locks.session)
  }

  openAtOnce(): Session | undefined {
    const { session } = this.#locks
    if (session.lostError) return undefined
    this.#lent.lend()
    return session
  }

  open(): Promise<Session> {
    const session = this.openAtOnce()
    return session ? Promise.resolve(session) : Promise.reject(this.#locks.session.lostError)
  }

  close(): Promise<void> {
    this.#lent.giveBack()
    return Promise.resolve()
  }

  /** A transaction keeps its connection. */
  canTakeOver(): boolean {
    return false
  }

  takeOver(): void {}

  holdWork(isHeld: boolean): void {
    this.#locks.work.hold(isHeld)
  }

  /** The work of the transaction goes on without the lock. */
  endWork(): void {}
}
