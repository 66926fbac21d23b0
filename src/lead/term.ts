import type { HeldLock } from '../acquire/held-lock.js'
import type { NamedLockEvents } from '../observe/events.js'
import type { LeaderTerm } from '../scope/leader-term.js'
import type { NamedLock } from '../scope/named-lock.js'

/** What ended a term. */
export type TermEnd = NamedLockEvents['revoked'][0]['by']

/**
 * The time in which this process leads, under one lock. It ends once: by the loss of the lock, by a resignation, or with its work. From
 * then on the process is no leader, even if it still has the lock until the work has ended.
 */
export class Term implements LeaderTerm {
  readonly name: string
  readonly lock: NamedLock<undefined>
  readonly #controller = new AbortController()
  readonly #ended: (reason: Error, by: TermEnd) => void
  readonly #lost = (): void => this.end(this.lock.signal.reason as Error, 'loss')

  /** @param ended Called once, after the signal is aborted. */
  constructor(name: string, lock: HeldLock, ended: (reason: Error, by: TermEnd) => void) {
    this.name = name
    this.lock = lock as NamedLock<any>
    this.#ended = ended
    lock.signal.addEventListener('abort', this.#lost)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** The end of a lease is detected by this, before a timer could run. */
  get isLeader(): boolean {
    return !this.signal.aborted && this.lock.isHeld
  }

  fencingToken(): Promise<bigint> {
    return this.lock.fencingToken()
  }

  end(reason: Error, by: TermEnd): void {
    if (this.signal.aborted) return
    this.lock.signal.removeEventListener('abort', this.#lost)
    this.#controller.abort(reason)
    this.#ended(reason, by)
  }
}
