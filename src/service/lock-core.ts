import type { SharedCore } from '../acquire/shared-core.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { Dialect } from '../dialect/dialect.js'
import type { NamedLockLostError } from '../contract/errors.js'
import { LockNotes } from '../inspect/lock-notes.js'
import type { ClaimOwner } from '../queue/claim.js'
import { Slots } from '../queue/slots.js'
import type { JointBounds } from '../session/joint-bounds.js'
import type { SessionSettings } from '../session/session-settings.js'
import type { Session, SessionsListener } from '../session/session.js'
import { Sessions } from '../session/sessions.js'

/**
 * What services of one DataSource with equal session settings share: sessions, the slots of their locks, and the note that describes
 * these locks to other processes. It lives until the last of its services has closed.
 */
export class LockCore implements SessionsListener, SharedCore {
  readonly settings: SessionSettings
  readonly dialect: Dialect
  readonly sessions: Sessions
  readonly slots: Slots
  readonly notes: LockNotes
  /** Weak: a service that is dropped without being closed must not live as long as its DataSource. Its claims keep it alive. */
  readonly #owners = new Set<WeakRef<ClaimOwner>>()
  #isOver = false

  constructor(dataSource: DataSourceLike, settings: SessionSettings, dialect: Dialect, bounds: JointBounds) {
    this.settings = settings
    this.dialect = dialect
    this.sessions = new Sessions(dataSource, settings, dialect, bounds, this)
    this.slots = new Slots(this.sessions, dataSource)
    this.notes = new LockNotes(this.slots)
  }

  /** Its sessions are being closed: no service may join any more. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** The services that have not closed. */
  get owners(): readonly ClaimOwner[] {
    const owners: ClaimOwner[] = []
    for (const reference of this.#owners) {
      const owner = reference.deref()
      if (owner) owners.push(owner)
      else this.#owners.delete(reference)
    }
    return owners
  }

  join(owner: ClaimOwner): void {
    this.#owners.add(new WeakRef(owner))
  }

  goesOnWithout(owner: ClaimOwner): boolean {
    return this.owners.some((other) => other !== owner && !other.isClosing)
  }

  isLast(owner: ClaimOwner): boolean {
    return this.owners.every((other) => other === owner)
  }

  async leave(owner: ClaimOwner, isClean: boolean): Promise<void> {
    for (const reference of this.#owners) if (reference.deref() === owner) this.#owners.delete(reference)
    if (this.owners.length === 0) await this.close(isClean)
  }

  /** @param isClean The sessions hold nothing. */
  async close(isClean: boolean): Promise<void> {
    this.#isOver = true
    this.notes.stop()
    await this.sessions.close(isClean)
  }

  sessionLost(session: Session, error: NamedLockLostError): void {
    this.slots.sessionLost(session, error)
  }

  sessionSilent(session: Session): void {
    this.slots.checkOwner(session)
  }
}
