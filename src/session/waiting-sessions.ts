import { outside } from '../util/outside.js'
import type { BoundMember, JointBounds } from './joint-bounds.js'
import type { OpenSessions } from './open-sessions.js'
import type { Session } from './session.js'

/** What the waiting sessions need of the other connections. */
export interface WaitingSessionsContext {
  readonly sessions: OpenSessions
  readonly bounds: JointBounds
  /** The core of these sessions. */
  readonly member: BoundMember
  open(): Promise<Session>
  /** A caller waits for a connection of the DataSource's pool. */
  hasPoolWaiters(): boolean
}

/**
 * The sessions that may block in the server's queue for a lock. Each serves one wait at a time and holds nothing between two.
 *
 * They are opened one at a time, when a contest finds none: the contest polls meanwhile. An idle one is kept for the next wait, for a
 * while, and returned at once when the pool has waiters. How many there may be is decided together with all cores of the DataSource.
 */
export class WaitingSessions {
  /** The contests that poll for lack of a session, the longest first: one is woken when a session becomes idle. */
  readonly sleepers = new Set<() => void>()
  readonly #context: WaitingSessionsContext
  /** Those without a wait, the latest used last. */
  readonly #idle: Session[] = []
  /** True from the moment when one is being opened until it is there, or has failed. */
  #isOpening = false
  #isClosed = false

  constructor(context: WaitingSessionsContext) {
    this.#context = context
    context.sessions.whenGone((session) => {
      const place = this.#idle.indexOf(session)
      if (place >= 0) this.#idle.splice(place, 1)
    })
  }

  /** How many there are, or will be. */
  get count(): number {
    return this.#context.sessions.count('waiting') + (this.#isOpening ? 1 : 0)
  }

  /** Whether there may be any at all. */
  get isAllowed(): boolean {
    return this.#context.bounds.mostWaiting(this.#context.member) > 0
  }

  /** An idle session. Without one undefined, and one is being opened for the next time unless the bounds are reached. */
  take(): Session | undefined {
    const session = this.takeIdle()
    const { bounds, member } = this.#context
    if (!session && !this.#isOpening && !this.#isClosed && bounds.mayOpenWaiting(member)) this.#openOne()
    return session
  }

  takeIdle(): Session | undefined {
    return this.#idle.pop()
  }

  /** Back from a wait; it must hold nothing. */
  putBack(session: Session): void {
    if (session.lostError) return
    session.touch()
    if (this.#isClosed || this.#context.hasPoolWaiters()) {
      void this.#context.sessions.giveBack(session)
      return
    }
    this.#idle.push(session)
    const [wake] = this.sleepers
    wake?.()
  }

  /** Whether one more caller may block on a connection of its own: as many as there may be waiting sessions. */
  takePermit(): boolean {
    return this.#context.bounds.takeBlockingPermit(this.#context.member)
  }

  returnPermit(): void {
    this.#context.bounds.returnBlockingPermit(this.#context.member)
  }

  /** Returns sessions to the pool that have not been used since then. */
  returnIdle(lastUsedBefore = Infinity): void {
    for (const session of this.#idle.filter(({ lastUsed }) => lastUsed <= lastUsedBefore)) {
      void this.#context.sessions.giveBack(session)
    }
  }

  /** None is opened any more, and none is kept. */
  close(): void {
    this.#isClosed = true
  }

  #openOne(): void {
    this.#isOpening = true
    outside(() => this.#context.open()).then(
      (session) => {
        this.#isOpening = false
        this.putBack(session)
      },
      () => {
        // The contests poll meanwhile and ask again; the shared session reports to callers what is wrong.
        this.#isOpening = false
      },
    )
  }
}
