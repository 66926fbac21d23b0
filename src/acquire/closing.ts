import { NamedLockClosedError } from '../contract/errors.js'
import type { Claim } from '../queue/claim.js'
import { LONGEST_TIMER, clearTimeout, setTimeout } from '../util/clock.js'
import { endClaim } from './claim-end.js'
import type { OwningService } from './owning-service.js'
import type { SharedCore } from './shared-core.js'

/** How long the server may take to answer the last releases before the connections are ended instead. */
const PATIENCE = 2_000

/**
 * The end of a service: no new callers, its waiters rejected, its running work given time, then its locks released. Other services
 * of the DataSource that share its sessions are not affected; the last of them closes the sessions.
 */
export class Closing {
  readonly #core: SharedCore
  readonly #owner: OwningService
  #closed: Promise<void> | undefined

  constructor(core: SharedCore, owner: OwningService) {
    this.#core = core
    this.#owner = owner
  }

  /** Resolves when all locks of the service are released; the same promise for each call. */
  begin(): Promise<void> {
    this.#owner.refuseCalls()
    return (this.#closed ??= this.#close())
  }

  async #close(): Promise<void> {
    // The rejections below run code of the application: not while it is still calling close().
    await Promise.resolve()
    const core = this.#core
    const owner = this.#owner
    owner.notifyClosing()
    for (const claim of core.slots.waiters) {
      if (claim.owner !== owner) continue
      claim.slot.leave(
        claim,
        new NamedLockClosedError(`The lock service was closed while the call was waiting for lock '${claim.name}'.`),
      )
    }
    if (!core.goesOnWithout(owner)) {
      core.sessions.shared.abandon(new NamedLockClosedError('The lock service was closed.'))
    }
    for (const claim of this.#held) if (!claim.scope) void endClaim(claim, 'taken away')
    if (this.#running.length > 0) await this.#workHasEnded()
    for (const claim of this.#running) void endClaim(claim, 'taken away')
    const isLast = core.isLast(owner)
    let isClean = await isDrained(core.slots.drained(isLast ? undefined : owner))
    if (!isLast && core.isLast(owner)) isClean = await isDrained(core.slots.drained())
    // A service that has joined in the meantime keeps the sessions.
    await core.leave(owner, isClean)
  }

  get #held(): readonly Claim[] {
    return this.#core.slots.holders.filter((claim) => claim.owner === this.#owner)
  }

  /** Locks under which scoped work runs: they are not taken from it before its time is up. */
  get #running(): readonly Claim[] {
    return this.#held.filter((claim) => claim.scope !== undefined)
  }

  /** Resolves when no scoped work holds a lock any more, or after `closeTimeout`. */
  #workHasEnded(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.min(this.#owner.settings.closeTimeout, LONGEST_TIMER))
      this.#owner.whenReleased(() => {
        if (this.#running.length > 0) return
        clearTimeout(timer)
        resolve()
      })
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
