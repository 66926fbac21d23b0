import type { HeldLock } from '../acquire/held-lock.js'
import type { OwningService } from '../acquire/owning-service.js'
import { NamedLockClosedError, NamedLockError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import type { Retry } from '../contract/settings.js'
import type { Rollback } from '../dialect/dialect.js'
import { clearTimeout, setTimeout } from '../util/clock.js'
import { GrowingPause } from '../util/growing-pause.js'
import { lostWith } from './locked-transaction.js'

/**
 * The tries of one call with the option `retry`: whether the work runs again after a rollback, and when.
 *
 * A repetition needs the lock, an open service and a caller that still wants it. All of that may end while a try runs, or in the pause
 * before the next one.
 */
export class Tries {
  readonly #retry: Retry
  readonly #owner: OwningService
  readonly #signal: AbortSignal | undefined
  readonly #pauses = new GrowingPause()
  /** The rollbacks so far. */
  readonly #counts = { deadlock: 0, serialization: 0 }

  constructor(retry: Retry, owner: OwningService, signal: AbortSignal | undefined) {
    this.#retry = retry
    this.#owner = owner
    this.#signal = signal
  }

  get #made(): number {
    return this.#counts.deadlock + this.#counts.serialization
  }

  /**
   * A try has failed with `error`. Resolves, to its rollback, if the work may run again.
   *
   * @throws The error of the call otherwise.
   */
  async failed(error: unknown, rollback: Rollback | undefined, lock: HeldLock): Promise<Rollback> {
    if (!rollback || this.#retry[rollback.reason] === 0) throw error
    this.#counts[rollback.reason]++
    await assertHeld(lock)
    if (this.#counts[rollback.reason] > this.#retry[rollback.reason]) throw this.#usedUp(rollback, lock.name)
    this.#assertWanted(rollback, lock.name)
    for (const claim of lock.claims) this.#owner.listener.retried(claim, rollback, this.#made)
    return rollback
  }

  /**
   * Resolves when the next try is due: at once for the first repetition.
   *
   * @param lock The lock, if it is held meanwhile.
   * @throws When the lock is lost in the pause, the service closes or the signal is aborted.
   */
  async due(rollback: Rollback, name: string, lock: HeldLock | undefined): Promise<void> {
    if (this.#made > 1) await this.#pause(lock)
    if (lock) await assertHeld(lock)
    this.#assertWanted(rollback, name)
  }

  #pause(lock: HeldLock | undefined): Promise<void> {
    const signals = [this.#signal, lock?.signal].filter((signal) => signal !== undefined)
    return new Promise((resolve) => {
      let forget = (): void => {}
      const finish = (): void => {
        clearTimeout(timer)
        for (const signal of signals) signal.removeEventListener('abort', finish)
        forget()
        resolve()
      }
      const timer = setTimeout(finish, this.#pauses.next())
      for (const signal of signals) signal.addEventListener('abort', finish)
      forget = this.#owner.whenClosing(finish)
      if (signals.some(({ aborted }) => aborted)) finish()
    })
  }

  #assertWanted({ reason, error }: Rollback, name: string): void {
    if (this.#owner.isClosing) {
      throw new NamedLockClosedError(
        `The lock service was closed before the transaction under lock '${name}' was repeated. It was rolled back by ${NAMES[reason]}.`,
        { cause: error },
      )
    }
    this.#signal?.throwIfAborted()
  }

  #usedUp({ reason, error }: Rollback, name: string): NamedLockError {
    const { deadlock, serialization } = this.#counts
    const isMixed = deadlock > 0 && serialization > 0
    const by = isMixed ? '' : ` by ${NAMES[reason]}`
    const list = isMixed ? ` (deadlocks: ${deadlock}, serialization failures: ${serialization})` : ''
    return new NamedLockError(
      because(
        'rolled-back',
        `The transaction under lock '${name}' was rolled back${by} in each of ${this.#made} tries${list}: ${error.message}`,
      ),
      { cause: error, outcome: 'rolledBack' },
    )
  }
}

const NAMES = { deadlock: 'a deadlock', serialization: 'a serialization failure' }

/** The ROLLBACK may have failed, and the lock with it. In doubt the server decides. */
async function assertHeld(lock: HeldLock): Promise<void> {
  if (!lock.isHeld) await lock.whenCertain()
  if (!lock.isHeld) throw lostWith(lock, 'rolledBack', lock.lostError)
}
