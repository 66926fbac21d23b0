import type { SessionSource } from '../session/session-source.js'
import type { Session } from '../session/session.js'
import { clearTimeout, setTimeout } from '../util/clock.js'
import type { TransactionLocks } from './transaction-locks.js'

/** How long the connection of a transaction may take to come back from a wait that is of no use any more, in milliseconds. */
const RETURN_PATIENCE = 1_500

/** The connection of a running transaction, lent to one wait for a lock that lasts as long as the transaction. */
export class RunningTransactionSource implements SessionSource {
  readonly isInUse = true
  readonly inTransaction = true
  readonly obstacle = undefined
  readonly #locks: TransactionLocks
  /** Resolves when the wait no longer uses the connection; empty until it is lent. */
  #returned: Promise<void> | undefined
  #giveBack: (() => void) | undefined

  constructor(locks: TransactionLocks) {
    this.#locks = locks
  }

  get manager(): unknown {
    return this.#locks.runner.manager
  }

  /**
   * Resolves when the transaction can use its connection again, after the wait has failed. Nothing may be sent before the wait is
   * answered: the lock may have been granted, and a late cancel would hit the next statement. In a silent network that answer does not
   * come, so the connection is given up after a while.
   */
  async connectionIsBack(): Promise<void> {
    const { session } = this.#locks
    if (session.lostError) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, RETURN_PATIENCE)))
    let isBack = false
    await Promise.race([(this.#returned ?? Promise.resolve()).then(() => (isBack = true)), late])
    clearTimeout(timer)
    if (!isBack) session.lose(new Error('the database did not answer when a wait for a lock was to end'))
  }

  openAtOnce(): Session | undefined {
    const { session } = this.#locks
    if (session.lostError) return undefined
    this.#returned = new Promise((resolve) => (this.#giveBack = resolve))
    return session
  }

  open(): Promise<Session> {
    const session = this.openAtOnce()
    return session ? Promise.resolve(session) : Promise.reject(this.#locks.session.lostError)
  }

  close(): Promise<void> {
    this.#giveBack?.()
    return Promise.resolve()
  }

  /** A transaction keeps its connection. */
  canTakeOver(): boolean {
    return false
  }

  takeOver(): void {}

  /** The work of the transaction goes on without the lock. */
  endWork(): void {}
}
