import { NamedLockClosedError } from '../contract/errors.js'
import type { Settings } from '../contract/settings.js'
import type { Reporter } from '../observe/reporter.js'
import type { Claim, ClaimOwner } from '../queue/claim.js'
import type { FencingTable } from '../session/fencing-table.js'
import { deadlockRefused } from './refusals.js'
import { unansweredError } from './timeout-error.js'

/**
 * A service as its claims and handles know it: its settings, its events, the errors of its callers, and whether it is open. Its claims
 * keep it alive; the core that it shares with other services refers to it weakly.
 */
export class OwningService implements ClaimOwner {
  readonly settings: Settings
  readonly listener: Reporter
  readonly fencing: FencingTable | undefined
  /** The NamedLockService, for traces. */
  readonly service: object
  /** Set by `refuseCalls`, and never cleared. */
  #isClosing = false
  /** Notified once by `notifyClosing`; empty from then on. */
  readonly #onClosing = new Set<() => void>()
  /** Called after each release, from when `close()` waits for running work. */
  #onReleased: (() => void) | undefined

  constructor(settings: Settings, listener: Reporter, fencing: FencingTable | undefined, service: object) {
    this.settings = settings
    this.listener = listener
    this.fencing = fencing
    this.service = service
  }

  /** Locks live and end with a transaction: the service is behind a pooler that pools transactions. */
  get isPooled(): boolean {
    return this.settings.pooling === 'transaction'
  }

  get isClosing(): boolean {
    return this.#isClosing
  }

  /** @throws NamedLockClosedError as soon as `close()` has begun. */
  checkOpen(): void {
    if (this.#isClosing) throw new NamedLockClosedError('The lock service is closed and acquires no more locks.')
  }

  /** Calls `listener` when the service begins to close, at once if it has begun to; the result removes the listener. */
  whenClosing(listener: () => void): () => void {
    if (this.#isClosing) listener()
    else this.#onClosing.add(listener)
    return () => this.#onClosing.delete(listener)
  }

  /** `close()` has begun: no more calls. */
  refuseCalls(): void {
    this.#isClosing = true
  }

  notifyClosing(): void {
    for (const listener of this.#onClosing) listener()
    this.#onClosing.clear()
  }

  /** Calls `listener` after each release from now on. */
  whenReleased(listener: () => void): void {
    this.#onReleased = listener
  }

  released(claim: Claim): void {
    this.listener.released(claim)
    this.#onReleased?.()
  }

  deadlock(claim: Claim, cycle: readonly string[]): Error {
    return deadlockRefused(claim.name, cycle)
  }

  unanswered(claim: Claim, obstacle: string | undefined): Error {
    return unansweredError(claim, obstacle)
  }
}
