import type { SessionSource } from '../session/session-source.js'
import type { Session } from '../session/session.js'
import type { TransactionLocks } from './transaction-locks.js'

/** The connection of a running transaction, for a lock that lasts as long as the transaction. */
export class LastingSource implements SessionSource {
  readonly isInUse = true
  readonly inTransaction = true
  readonly obstacle = undefined
  readonly #locks: TransactionLocks
  #returned: Promise<void> | undefined
  #giveBack: (() => void) | undefined

  constructor(locks: TransactionLocks) {
    this.#locks = locks
  }

  get manager(): unknown {
    return this.#locks.runner.manager
  }

  /** Resolves when nobody waits for the lock on the connection any more: then its work can go on there. */
  get returned(): Promise<void> {
    return this.#returned ?? Promise.resolve()
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

  canTakeOver(): boolean {
    return false
  }

  takeOver(): void {}

  endWork(): void {}
}
