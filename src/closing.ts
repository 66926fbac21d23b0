import { NamedLockClosedError } from './errors.js'
import type { Claim } from './queue/claim.js'
import type { Slots } from './queue/slots.js'
import type { Sessions } from './session/sessions.js'
import { clearTimeout, setTimeout } from './util/clock.js'

/** How long the server may take to answer the last releases before the connections are ended instead. */
const PATIENCE = 2_000

/** The end of a service: nobody new, waiters rejected, running work given time, then everything given back. */
export class Closing {
  readonly #slots: Slots
  readonly #sessions: Sessions
  readonly #closeTimeout: number
  #closed: Promise<void> | undefined
  #onReleased: (() => void) | undefined
  readonly #onBegun = new Set<() => void>()

  constructor(slots: Slots, sessions: Sessions, closeTimeout: number) {
    this.#slots = slots
    this.#sessions = sessions
    this.#closeTimeout = closeTimeout
  }

  get hasBegun(): boolean {
    return this.#closed !== undefined
  }

  /** Throws once the service is closed. */
  check(): void {
    if (this.#closed) throw new NamedLockClosedError('The lock service is closed: it takes no more locks.')
  }

  /** Calls `listener` when the service begins to close, at once if it has begun to; the result forgets the listener. */
  whenBegun(listener: () => void): () => void {
    if (this.hasBegun) listener()
    else this.#onBegun.add(listener)
    return () => this.#onBegun.delete(listener)
  }

  /** A lock was given back. */
  released(): void {
    this.#onReleased?.()
  }

  begin(): Promise<void> {
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    // After this turn, so that `hasBegun` is true for whatever the rejections below set off.
    await Promise.resolve()
    for (const listener of this.#onBegun) listener()
    this.#onBegun.clear()
    for (const claim of this.#slots.waiters) {
      claim.slot.leave(
        claim,
        new NamedLockClosedError(`The lock service was closed while the lock '${claim.name}' was waited for.`),
      )
    }
    this.#sessions.shared.abandon(new NamedLockClosedError('The lock service was closed.'))
    for (const claim of this.#slots.holders) if (!claim.scope) this.#takeAway(claim)
    if (this.#running.length > 0) await this.#workHasEnded()
    for (const claim of this.#running) this.#takeAway(claim)
    await this.#sessions.close(await this.#isDrained())
  }

  get #running(): readonly Claim[] {
    return this.#slots.holders.filter((claim) => claim.scope !== undefined)
  }

  /** Never under running work without its signal. */
  #takeAway(claim: Claim): void {
    const closed = new NamedLockClosedError('the lock service was closed')
    // The transaction ends with its lock: never one without the other.
    if (claim.source?.inTransaction) {
      claim.session?.lose(closed)
      return
    }
    this.#slots.lost(claim, closed)
    void claim.slot.release(claim)
  }

  #workHasEnded(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(this.#closeTimeout, 2_147_483_647))
      this.#onReleased = () => {
        if (this.#running.length > 0) return
        clearTimeout(timer)
        resolve()
      }
    })
  }

  /** Whether the server has answered every release. */
  #isDrained(): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), PATIENCE)
      void this.#slots.drained().then(() => {
        clearTimeout(timer)
        resolve(true)
      })
    })
  }
}
