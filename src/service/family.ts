import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { dialectFor, pooledDialectFor } from '../dialect/choose-dialect.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import { JointBounds } from '../session/joint-bounds.js'
import { sessionSettingsText } from '../session/session-settings.js'
import type { Settings } from '../contract/settings.js'
import { copyOf, processWide, thisCopy } from '../util/process-wide.js'
import { LockCore } from './lock-core.js'

const families = processWide('families', () => new WeakMap<object, Family>())

/**
 * The services of one DataSource. Services with equal session settings share a core, so that ten of them need no more connections
 * than one. With any settings, the bounds on connections hold for all services together.
 */
export class Family {
  readonly #dataSource: DataSourceLike
  readonly #cores = new Map<string, LockCore>()
  #bounds: JointBounds | undefined

  private constructor(dataSource: DataSourceLike) {
    this.#dataSource = dataSource
  }

  /** @throws NamedLockConfigurationError when a copy of another version of the package has services on the DataSource. */
  static of(dataSource: DataSourceLike): Family {
    const copy = copyOf(dataSource)
    if (copy.protocol !== thisCopy.protocol) {
      throw new NamedLockConfigurationError(
        because(
          'two-versions',
          `Two versions of typeorm-named-lock have services on one DataSource: ${copy.path} (${copy.protocol}) and ${thisCopy.path} ` +
            `(${thisCopy.protocol}). They cannot see each other's locks and transactions in this process. Install one version (npm ls typeorm-named-lock, npm dedupe).`,
        ),
      )
    }
    let family = families.get(dataSource)
    if (!family) families.set(dataSource, (family = new Family(dataSource)))
    return family
  }

  /**
   * The core for a service with these settings, which joins it at once.
   *
   * @throws NamedLockConfigurationError when the pool has no room for the sessions of one more core.
   */
  coreFor(settings: Settings): LockCore {
    const text = sessionSettingsText(settings)
    const existing = this.#cores.get(text)
    if (existing && !existing.isOver) return existing
    const dialect =
      settings.pooling === 'transaction' ? pooledDialectFor(this.#dataSource) : dialectFor(this.#dataSource)
    // While no core was left the pool may have been given another size.
    if (!this.#bounds || this.#live.length === 0) {
      this.#bounds = new JointBounds(dialect.pool.size(this.#dataSource), () => this.#maxSessions)
    }
    const bounds = this.#bounds
    if (settings.connections === 'pool') {
      const others = this.#live.filter(({ sessions }) => sessions.hasSharedSession && !sessions.isOwn)
      const isOneMore = settings.pooling === 'session'
      bounds.checkRoom(isOneMore ? others.length : 0, () => {
        const texts = others.map((other) => sessionSettingsText(other.settings)).join(' and ')
        return `A NamedLockService with ${text} cannot share sessions with the one with ${texts} on the same DataSource.`
      })
    }
    const core = new LockCore(this.#dataSource, settings, dialect, bounds)
    this.#cores.set(text, core)
    return core
  }

  /** Cores that services still use. A core ends here when all of its services were dropped without being closed. */
  get #live(): readonly LockCore[] {
    const live: LockCore[] = []
    for (const [text, core] of this.#cores) {
      const isUsed = core.owners.length > 0
      if (!isUsed && !core.isOver) void core.close(true)
      if (core.isOver || !isUsed) this.#cores.delete(text)
      else live.push(core)
    }
    return live
  }

  get #maxSessions(): number {
    let most = 1
    for (const core of this.#cores.values()) {
      for (const { settings } of core.owners) most = Math.max(most, settings.maxSessions)
    }
    return most
  }
}
