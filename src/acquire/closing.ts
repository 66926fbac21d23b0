import { NamedLockClosedError } from '../contract/errors.js'
import type { Claim, ClaimOwner } from '../queue/claim.js'
import type { Slots } from '../queue/slots.js'
import type { Sessions } from '../session/sessions.js'
import { clearTimeout, setTimeout } from '../util/clock.js'

/** How long the server may take to answer the last releases before the connections are ended instead. */
const PATIENCE = 2_000

/** What a service shares with others of its DataSource. */
export interface SharedCore {
  readonly slots: Slots
  readonly sessions: Sessions
  /** Whether services other than that one go on. */
  goesOnWithout(owner: ClaimOwner): boolean
  /** Whether all other services have closed. */
  isLast(owner: ClaimOwner): boolean
  /** Resolves when the sessions are closed, if that was the last service; at once otherwise. `isClean`: they hold nothing. */
  leave(owner: ClaimOwner, isClean: boolean): Promise<void>
}

/**
 * The end of a service: no new callers, its waiters rejected, its running work given time, then its locks released. Other services
 * of the DataSource that share its sessions are not affected; the last of them closes the sessions.
 */
export class Closing {
  readonly #core: SharedCore
  readonly #owner: ClaimOwner
  #closed: Promise<void> | undefined
  #onReleased: (() => void) | undefined
  readonly #onBegun = new Set<() => void>()

  constructor(core: SharedCore, owner: ClaimOwner) {
    this.#core = core
    this.#owner = owner
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
    const core = this.#core
    const owner = this.#owner
    for (const claim of core.slots.waiters) {
      if (claim.owner !== owner) continue
      claim.slot.leave(
        claim,
        new NamedLockClosedError(`The lock service was closed while the lock '${claim.name}' was waited for.`),
      )
    }
    if (!core.goesOnWithout(owner)) {
      core.sessions.shared.abandon(new NamedLockClosedError('The lock service was closed.'))
    }
    for (const claim of this.#held) if (!claim.scope) this.#takeAway(claim)
    if (this.#running.length > 0) await this.#workHasEnded()
    for (const claim of this.#running) this.#takeAway(claim)
    const isLast = core.isLast(owner)
    let isClean = await isDrained(core.slots.drained(isLast ? undefined : owner))
    if (!isLast && core.isLast(owner)) isClean = await isDrained(core.slots.drained())
    // A service that has joined meanwhile takes the sessions on.
    await core.leave(owner, isClean)
  }

  get #held(): readonly Claim[] {
    return this.#core.slots.holders.filter((claim) => claim.owner === this.#owner)
  }

  get #running(): readonly Claim[] {
    return this.#held.filter((claim) => claim.scope !== undefined)
  }

  /** Never under running work without its signal. */
  #takeAway(claim: Claim): void {
    const closed = new NamedLockClosedError('the lock service was closed')
    // The transaction ends with its lock: never one without the other.
    if (claim.source?.inTransaction) {
      claim.session?.lose(closed)
      return
    }
    this.#owner.listener.lost(claim, closed)
    // Its EntityManager goes with it: the connection is the next caller's, or the pool's.
    claim.source?.endWork()
    void claim.slot.release(claim)
  }

  #workHasEnded(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(this.#owner.settings.closeTimeout, 2_147_483_647))
      this.#onReleased = () => {
        if (this.#running.length > 0) return
        clearTimeout(timer)
        resolve()
      }
    })
  }
}

/** Whether the server has answered every release in time. */
function isDrained(drained: Promise<void>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), PATIENCE)
    void drained.then(() => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}
