import type { OpenSessions } from './open-sessions.js'
import type { Session } from './session.js'
import type { WorkPlaces } from './work-places.js'
import { monotonicNow } from '../util/clock.js'

/** How long one stays without use before it returns to the pool, in milliseconds. */
const IDLE = 1_000

/** What the work sessions need of the other connections. */
export interface WorkSessionsContext {
  readonly sessions: OpenSessions
  /** Shared with all other services of the DataSource. */
  readonly places: WorkPlaces
  readonly poolSize: number
  /** A caller waits for a connection of the DataSource's pool. */
  hasPoolWaiters(): boolean
  open(): Promise<Session>
}

/**
 * The connections on which both a lock and its work live: transactions and dedicated locks. They stay pinned with their
 * lease set and are used again, because setting and restoring it for every call costs more than the lock does. After a second
 * without use, and at once when a caller waits for a connection of the pool, they are returned.
 *
 * Their number is limited for all services of the DataSource together, so that the application keeps connections for the rest of
 * its work; callers beyond the limit get one in the order in which they came.
 */
export class WorkSessions {
  readonly #context: WorkSessionsContext
  readonly #idle: Session[] = []
  /** Callers that wait for a place, in the order in which the places have them. */
  readonly #wanting: ((session: Session | Promise<Session>) => void)[] = []
  readonly #open = new Set<Session>()
  #opening = 0

  constructor(context: WorkSessionsContext) {
    this.#context = context
    context.sessions.whenGone((session) => this.#gone(session))
  }

  /** Why a caller may be waiting for one; undefined when none has to. */
  get obstacle(): string | undefined {
    const { places, poolSize } = this.#context
    if (this.#wanting.length > 0) {
      return `all ${places.limit} connections that transactions and dedicated locks may have at once were in use (the DataSource's pool has ${poolSize})`
    }
    return this.#opening > 0
      ? `no connection came free in the DataSource's pool of ${poolSize} in that time`
      : undefined
  }

  get isOpening(): boolean {
    return this.#opening > 0
  }

  get hasPoolWaiters(): boolean {
    return this.#context.hasPoolWaiters()
  }

  /** An idle one. */
  takeAtOnce(): Session | undefined {
    for (let session = this.#idle.pop(); session; session = this.#idle.pop()) {
      if (session.checkLease()) return session
    }
    return undefined
  }

  take(): Promise<Session> {
    const session = this.takeAtOnce()
    if (session) return Promise.resolve(session)
    if (this.#context.places.takeAtOnce()) return this.#openOne()
    return new Promise((resolve) => {
      this.#wanting.push(resolve)
      this.#context.places.wait({ owner: this, granted: () => this.#wanting.shift()?.(this.#openOne()) })
    })
  }

  /** It holds nothing any more. */
  async putBack(session: Session): Promise<void> {
    if (session.lostError || !this.#open.has(session)) return
    const { places } = this.#context
    const { first } = places
    // The longest waiter may use another service, which cannot use these sessions: it gets the place.
    if (this.#context.hasPoolWaiters() || (first && first.owner !== this)) {
      await this.#context.sessions.giveBack(session)
      return
    }
    session.touch()
    if (!first) {
      this.#idle.push(session)
      return
    }
    places.serveFirst()
    this.#wanting.shift()?.(session)
  }

  /** It is lost, or returned to the pool. */
  #gone(session: Session): void {
    if (!this.#open.delete(session)) return
    const place = this.#idle.indexOf(session)
    if (place >= 0) this.#idle.splice(place, 1)
    this.#context.places.giveBack()
  }

  returnIdle(atOnce: boolean): void {
    const now = monotonicNow()
    for (const session of this.#idle.filter(({ lastUsed }) => atOnce || now - lastUsed >= IDLE)) {
      this.#idle.splice(this.#idle.indexOf(session), 1)
      void this.#context.sessions.giveBack(session)
    }
  }

  async #openOne(): Promise<Session> {
    this.#opening++
    try {
      const session = await this.#context.open()
      if (session.lostError) this.#context.places.giveBack()
      else this.#open.add(session)
      return session
    } catch (error) {
      this.#context.places.giveBack()
      throw error
    } finally {
      this.#opening--
    }
  }
}
