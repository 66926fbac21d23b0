import type { Duration } from '../contract/duration.js'
import type { LeaderTerm } from '../scope/leader-term.js'

/** The options of `lead`. */
export interface LeadOptions {
  /**
   * How long the process waits after its work has returned or failed, until it campaigns again. Failures in a row double the time, up to
   * 30 s. `false`: the leadership ends with the first term. Default 1 s.
   */
  restart?: Duration | false | undefined
  /** Ends the leadership when aborted, as `resign()` does, with the signal's reason. */
  signal?: AbortSignal | undefined
}

/** Runs while this process leads. */
export type LeaderWork = (term: LeaderTerm) => unknown

/** The part of this process in the election of a leader: it leads, campaigns or pauses until it ends. */
export interface Leadership extends AsyncDisposable {
  /** As it was passed to `lead`. */
  readonly name: string
  /** Whether this process leads now. Compares clocks and sends nothing: correct also in a process that was frozen. */
  readonly isLeader: boolean
  /**
   * Resolves when the leadership has ended: after `resign()`, `close()` of the service, and the abort of the option `signal`. With
   * `restart: false` also after the first term; it rejects with the error of the work then. An error that is not looked at is no unhandled rejection.
   */
  readonly ended: Promise<void>
  /**
   * Ends the leadership: aborts the signal of a running term, waits for its work (at most the service's `closeTimeout`), and releases the
   * lock. Does not wait when it is called in the work itself. Calling it again waits for the same end. Never rejects.
   */
  resign(): Promise<void>
}
