import { NamedLockConfigurationError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import { WorkPlaces } from './work-places.js'

/** Kinds of connections that are kept for a while after their use. */
export type Spare = 'waiting' | 'work'

/** The sessions of services with equal session settings, as far as the bounds go. */
export interface BoundMember {
  /** Their connections stand beside the pool. */
  readonly isOwn: boolean
  readonly hasSharedSession: boolean
  /** How many waiting sessions they have, or are opening. */
  readonly waitingSessions: number
  /** Gives idle connections of that kind back, because other services have no place for theirs. */
  returnSpare(kind: Spare): void
}

/**
 * How many connections all services of a DataSource may have together. However many services there are and however their options
 * differ, what holds for one service holds for all of them as a whole:
 *
 * - shared and waiting sessions: at most `maxSessions` (the largest of the live services'), and never more than half of the pool;
 * - callers that block on connections of their own: as many as there may be waiting sessions;
 * - connections that locks share with their work (transactions, dedicated locks): what the pool has beside the shared sessions,
 *   less one for the application.
 *
 * Sessions with different settings cannot be shared, so each kind has at least its shared session: where the pool cannot bear
 * one more, the service that would need it is refused.
 */
export class JointBounds {
  readonly poolSize: number
  readonly work: WorkPlaces
  readonly #maxSessions: () => number
  readonly #members = new Set<BoundMember>()
  /** Permits to block, of those in the pool and of those beside it. */
  readonly #permits = { pool: 0, own: 0 }

  /** @param maxSessions The largest of the live services'. */
  constructor(poolSize: number, maxSessions: () => number) {
    this.poolSize = poolSize
    this.#maxSessions = maxSessions
    this.work = new WorkPlaces(
      () => Math.max(1, poolSize - 1 - this.#sharedSessions(false)),
      () => this.#reclaim('work'),
    )
  }

  join(member: BoundMember): void {
    this.#members.add(member)
  }

  leave(member: BoundMember): void {
    this.#members.delete(member)
    this.work.serve()
  }

  /** @throws NamedLockConfigurationError when the pool has no room for one more kind of sessions beside so many others. */
  checkRoom(others: number, describe: () => string): void {
    // Migrations need no more: `checkSize` refuses all else, when it comes.
    if (this.poolSize < 2) return
    if (others + 1 <= Math.floor(this.poolSize / 2)) return
    throw new NamedLockConfigurationError(
      because(
        'small-pool',
        `${describe()} Each of them needs a session of its own, and locks may use half of the DataSource's pool of ${this.poolSize}. ` +
          `Give all services of the DataSource the same options, set poolSize to at least ${2 * (others + 1)}, or use connections: 'own'.`,
      ),
    )
  }

  /** @throws NamedLockConfigurationError when a lock would take the only connection of the pool from the work under it. */
  checkSize(): void {
    if (this.poolSize >= 2) return
    throw new NamedLockConfigurationError(
      because(
        'small-pool',
        `The DataSource's pool has ${this.poolSize} connection: the locks would take it, and no work could be done under them. ` +
          "Set poolSize to at least 2 (better 10), or use connections: 'own' for locks with connections beside the pool. " +
          'Only runMigrations() works with one connection.',
      ),
    )
  }

  /** Shared and waiting sessions together. */
  mostOrdinary({ isOwn }: Pick<BoundMember, 'isOwn'>): number {
    const most = this.#maxSessions()
    return Math.max(this.#sharedSessions(isOwn), isOwn ? most : Math.min(most, Math.floor(this.poolSize / 2)))
  }

  mostWaiting({ isOwn }: Pick<BoundMember, 'isOwn'>): number {
    return this.mostOrdinary({ isOwn }) - Math.max(1, this.#sharedSessions(isOwn))
  }

  /** Whether that member may open one more waiting session. */
  mayOpenWaiting(member: BoundMember): boolean {
    let waiting = 0
    for (const one of this.#members) if (one.isOwn === member.isOwn) waiting += one.waitingSessions
    if (waiting < this.mostWaiting(member)) return true
    if (member.waitingSessions < waiting) this.#reclaim('waiting', member)
    return false
  }

  takeBlockingPermit({ isOwn }: BoundMember): boolean {
    const kind = isOwn ? 'own' : 'pool'
    if (this.#permits[kind] >= this.mostWaiting({ isOwn })) return false
    this.#permits[kind]++
    return true
  }

  returnBlockingPermit({ isOwn }: BoundMember): void {
    this.#permits[isOwn ? 'own' : 'pool']--
  }

  #sharedSessions(isOwn: boolean): number {
    let count = 0
    for (const member of this.#members) if (member.hasSharedSession && member.isOwn === isOwn) count++
    return count
  }

  #reclaim(kind: Spare, needy?: BoundMember): void {
    for (const member of this.#members) if (member !== needy) member.returnSpare(kind)
  }
}
