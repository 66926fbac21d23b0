import type { Session } from './session.js'

/**
 * What a session is for: the locks of all callers, waits that may block, a lock together with its work, migrations with their lock, a
 * transaction of the application (`adopted`), or one that the library has begun for locks that end with it.
 */
export type SessionKind = 'shared' | 'waiting' | 'work' | 'migrations' | 'adopted' | 'begun'

/**
 * The sessions of a core that are open, and what each is for.
 *
 * A session leaves this list first when it is lost or returned to the pool. Then the listeners are notified, in the order of their
 * registration: each of them keeps the sessions of one kind, and must not hand out one that is gone.
 */
export class OpenSessions {
  readonly #kinds = new Map<Session, SessionKind>()
  readonly #listeners: ((session: Session) => void)[] = []

  /** All of them at this moment. */
  get all(): Session[] {
    return [...this.#kinds.keys()]
  }

  /** Those on connections that the library has taken. A transaction of the application returns its session when it ends. */
  get ours(): Session[] {
    return this.all.filter((session) => this.#kinds.get(session) !== 'adopted')
  }

  /** Whether that session is open, and of that kind. */
  isOf(session: Session, kind: SessionKind): boolean {
    return this.#kinds.get(session) === kind
  }

  get isEmpty(): boolean {
    return this.#kinds.size === 0
  }

  count(kind: SessionKind): number {
    let count = 0
    for (const one of this.#kinds.values()) if (one === kind) count++
    return count
  }

  /** Whether that connection is one of these sessions'. */
  hasConnection(connectionId: string): boolean {
    for (const session of this.#kinds.keys()) if (session.connectionId === connectionId) return true
    return false
  }

  /** Calls `listener` with every session that is lost, or is about to be returned to the pool. */
  whenGone(listener: (session: Session) => void): void {
    this.#listeners.push(listener)
  }

  add(session: Session, kind: SessionKind): void {
    this.#kinds.set(session, kind)
  }

  /** False for a session that is not one of these any more. */
  remove(session: Session): boolean {
    if (!this.#kinds.delete(session)) return false
    for (const listener of this.#listeners) listener(session)
    return true
  }

  /**
   * Returns a session that holds nothing to the pool.
   *
   * @param isRestored Nothing is left to restore on it.
   */
  async giveBack(session: Session, isRestored?: boolean): Promise<void> {
    this.remove(session)
    await session.giveBack(isRestored)
  }

  async giveOursBack(): Promise<void> {
    await Promise.all(this.ours.map((session) => this.giveBack(session)))
  }
}
