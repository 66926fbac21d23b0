import type { Acquirer } from '../acquire/acquirer.js'
import type { OwningService } from '../acquire/owning-service.js'
import { outlivesTransaction } from '../acquire/refusals.js'
import type { LockName } from '../contract/options.js'
import { checkName } from '../names/lock-name.js'
import type { TimeLimits } from '../util/time-limits.js'
import { Campaign } from './campaign.js'
import { readLeadOptions } from './lead-settings.js'
import type { LeaderWork, Leadership } from './leadership.js'

/** The leaderships of one service. */
export class Leads {
  readonly #acquirer: Acquirer
  readonly #owner: OwningService
  readonly #limits: () => TimeLimits | undefined
  /** Those that have not ended. */
  readonly #all = new Set<Campaign>()

  constructor(acquirer: Acquirer, owner: OwningService, limits: () => TimeLimits | undefined) {
    this.#acquirer = acquirer
    this.#owner = owner
    this.#limits = limits
  }

  /** @throws what is wrong with the call, at once: a campaign has no caller that waits for it. */
  begin(name: LockName, options: unknown, work: LeaderWork): Leadership {
    checkName(name)
    const settings = readLeadOptions(options)
    this.#owner.checkOpen()
    if (this.#owner.isPooled) throw outlivesTransaction()
    const campaign = new Campaign(name, settings, work, this.#acquirer, this.#owner, this.#limits)
    this.#all.add(campaign)
    void campaign.over.then(() => this.#all.delete(campaign))
    return campaign
  }

  /** Resolves when all leaderships have ended. */
  async over(): Promise<void> {
    await Promise.all([...this.#all].map(({ over }) => over))
  }
}
