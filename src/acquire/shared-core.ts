import type { LockNotes } from '../inspect/lock-notes.js'
import type { ClaimOwner } from '../queue/claim.js'
import type { Slots } from '../queue/slots.js'
import type { Sessions } from '../session/sessions.js'

/** What a service shares with others of its DataSource: sessions, slots, the note for other processes, and when all of them end. */
export interface SharedCore {
  readonly slots: Slots
  readonly sessions: Sessions
  readonly notes: LockNotes
  /** Whether services other than that one go on. */
  goesOnWithout(owner: ClaimOwner): boolean
  /** Whether all other services have closed. */
  isLast(owner: ClaimOwner): boolean
  /** Resolves when the sessions are closed, if that was the last service; at once otherwise. `isClean`: they hold nothing. */
  leave(owner: ClaimOwner, isClean: boolean): Promise<void>
}
