import type { NamedLock } from './named-lock.js'

/** The time in which this process leads: the argument of the work of `lead`. It ends when `signal` is aborted. */
export interface LeaderTerm {
  /** As it was passed to `lead`. */
  readonly name: string
  /**
   * Aborted when the term ends, always with an Error: a NamedLockLostError after a loss; a NamedLockClosedError when the service closes;
   * a NamedLockError (`RESIGNED`) after `resign()`, and when the work has returned; the error of the work; the reason of the option
   * `signal`. Pass it to everything that the work waits for.
   */
  readonly signal: AbortSignal
  /** False once the term has ended. Compares clocks and sends nothing: correct also in a process that was frozen. */
  readonly isLeader: boolean
  /** The lock of that name. It ends with the term: `release()` rejects. */
  readonly lock: NamedLock<undefined>
  /**
   * A number that rises from term to term, so that a write can refuse those of earlier leaders.
   *
   * @throws A {@link NamedLockLostError}: The lock is not held any more.
   */
  fencingToken(): Promise<bigint>
}
