import type { Session } from './session.js'

/** Where a claim that wants a connection of its own gets it from. */
export interface SessionSource {
  /** The work uses the connection already: waiting there costs no other caller a connection, but keeps the work from its own. */
  readonly isInUse: boolean
  /**
   * The call must not need any other connection: nothing is looked up elsewhere for it. Nothing but its lock is held on this one, so that a
   * wait there is part of no deadlock.
   */
  readonly isAlone?: boolean
  /** A transaction runs on the connection: the lock must not be given back before it has ended. */
  readonly inTransaction: boolean
  /** An EntityManager on the connection. */
  readonly manager: unknown
  /** Why there is no connection yet, where it is not another lock's holder; for error messages. */
  readonly obstacle: string | undefined
  /** The session, if it is there without waiting. */
  openAtOnce(): Session | undefined
  open(): Promise<Session>
  /** The claim does not need the session any more. */
  close(session: Session): Promise<void>
  /** Whether the session of another claim can become this one's, with the lock that is held there. */
  canTakeOver(from: SessionSource): boolean
  takeOver(from: SessionSource): void
  /** It begins a transaction of its own for the claim, with which the lock ends: no other caller can get it. Ends it, if it still runs. */
  endTransaction?(): Promise<void>
  /**
   * Whether statements of the work have to wait: where a failed wait for a lock makes its transaction refuse everything, they must not
   * reach the server before the transaction is usable again. Only where work runs during a wait.
   */
  holdWork?(isHeld: boolean): void
  /** The lock is about to be given back: nothing of the work may go on. */
  endWork(): void
}
