import type { LockName } from '../contract/options.js'
import type { Finding, LockHolder, LockList } from '../contract/lock-info.js'
import type { Slots } from '../queue/slots.js'
import type { ClaimOwner } from '../queue/claim.js'
import { readCheckOptions, readInspectOptions, readListOptions, type Settings } from '../contract/settings.js'
import { duration } from '../contract/option-checks.js'
import { databaseError, notAnswered } from '../contract/database-error.js'
import type { PermitTargets } from '../names/permit-targets.js'
import type { Target, Targets } from '../names/targets.js'
import { within } from '../util/within.js'
import { check, probe, worstFirst } from './check.js'
import { HolderLookup } from './holder-lookup.js'
import { LockLister } from './lock-list.js'
import { ping } from './ping.js'

/** How long a question about a lock waits for the database, if the timeout is not longer, in milliseconds. */
const PATIENCE = 3_000

const NO_ANSWER = 'The locks could not be read from the database'

function refuse(error: unknown): never {
  throw databaseError(NO_ANSWER, error)
}

/** The questions about locks: whether it is held, its holder, the list of all locks, and whether the server is fit for them. */
export class Inspector {
  readonly lookup: HolderLookup
  readonly #slots: Slots
  readonly #settings: Settings
  readonly #targets: Targets
  readonly #lister: LockLister
  readonly #poolSize: () => number
  readonly #settle: () => Promise<void>

  constructor(slots: Slots, targets: Targets, owner: ClaimOwner, poolSize: () => number, settle: () => Promise<void>) {
    this.#settle = settle
    this.#slots = slots
    this.#settings = owner.settings
    this.#targets = targets
    this.#poolSize = poolSize
    this.lookup = new HolderLookup(slots)
    this.#lister = new LockLister(slots, targets, owner)
  }

  async isLocked(name: LockName, options: unknown): Promise<boolean> {
    const target = await this.#target(name, options, 'isLocked')
    if (target.permits) return (await this.#heldPermits(target.permits, options)).isAll
    return (await this.inTime(this.lookup.ask('isFree', target.literal))) === '0'
  }

  async holder(name: LockName, options: unknown): Promise<LockHolder | null> {
    const target = await this.#target(name, options, 'holder')
    if (target.permits) {
      const { held } = await this.#heldPermits(target.permits, options)
      for (const permit of held) {
        const holder = await this.inTime(this.lookup.find(permit))
        if (holder) return holder
      }
      return null
    }
    return this.inTime(this.lookup.find(target))
  }

  async list(options: unknown): Promise<LockList> {
    const settings = readListOptions(options)
    if (!this.#targets.isSettled) await this.inTime(this.#settle())
    return this.inTime(this.#lister.list(settings))
  }

  /** What names of this service are kept apart by; false without a namespace. */
  get namespace(): string | false {
    return this.#targets.namespace
  }

  /** The locks of all namespaces, for telling where a name is held that is looked for here. */
  async listEverywhere(): Promise<LockList> {
    return this.inTime(this.#lister.list({ prefix: '', waiting: false, isEverywhere: true }))
  }

  async ping(timeout: unknown): Promise<number> {
    const patience = duration(timeout, 'ping: timeout', this.#settings.timeout)
    const { sessions } = this.#slots
    return within(ping(sessions).catch(refuse), patience, undefined, () => {
      const what = `No lock could be acquired and released within ${patience} ms`
      return notAnswered(what, sessions.obstacle)
    })
  }

  async check(options: unknown): Promise<Finding[]> {
    const { lease } = readCheckOptions(options)
    const { sessions } = this.#slots
    const { findings, dialect } = await this.inTime(check(sessions, this.#settings, this.#poolSize()))
    const probed = await probe(sessions, dialect, findings, lease)
    // Where both have found the same, the probe has seen what comes of it.
    const others = findings.filter(({ code }) => !probed.some((finding) => finding.code === code))
    return worstFirst([...others, ...probed])
  }

  /**
   * Every question of this class goes through here, which keeps two rules for all of them: a pool without a free connection makes
   * no caller wait forever; and a call rejects with errors of this library only. Statements of an inspection are sent on plain
   * connections, so their errors are the driver's: expired passwords, missing grants, a connection that was lost in the middle.
   */
  inTime<T>(work: Promise<T>, timeout = this.#settings.timeout, signal?: AbortSignal): Promise<T> {
    return within(work.catch(refuse), Math.max(timeout, PATIENCE), signal, () => {
      return notAnswered(NO_ANSWER, this.#slots.sessions.obstacle)
    })
  }

  /** The permits of the name that are held, of those that callers with that number see. */
  async #heldPermits(permits: PermitTargets, options: unknown): Promise<{ held: readonly Target[]; isAll: boolean }> {
    const count = (options as { permits: number }).permits
    const all = Array.from({ length: count }, (_, number) => permits.at(number))
    const answers = await this.inTime(Promise.all(all.map(({ literal }) => this.lookup.ask('isFree', literal))))
    const held = all.filter((_, number) => answers[number] === '0')
    return { held, isAll: held.length === count }
  }

  async #target(name: LockName, options: unknown, call: 'isLocked' | 'holder'): Promise<Target> {
    const { exactName, permits } = readInspectOptions(options, call)
    if (exactName) await this.inTime(this.#slots.sessions.sureDialect())
    if (permits !== undefined) {
      if (!this.#targets.isSettled) await this.inTime(this.#settle())
      return this.#targets.ofPermits(name)
    }
    const target = this.#targets.inspected(name, exactName)
    if (exactName || this.#targets.isSettled) return target
    await this.inTime(this.#settle())
    return this.#targets.inspected(name, exactName)
  }
}
