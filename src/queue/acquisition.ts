import type { CallSettings } from '../contract/settings.js'
import type { LockScope } from '../scope/lock-scope.js'
import type { SessionSource } from '../session/session-source.js'

/**
 * One attempt of a call to acquire its locks: what the claims of the attempt have in common.
 *
 * A call that lost a connection before its work began makes another attempt, with a new source and the old `startedAt`.
 * `lockTransaction` makes one attempt for each of its locks, because each wait borrows the transaction's connection separately.
 */
export interface Acquisition {
  /** The options of the call, checked and with their defaults. */
  readonly call: CallSettings
  /** When the call began, in monotonic time: its timeout counts from here, through all attempts. */
  readonly startedAt: number
  /** Opens the connection that the claims have for themselves; undefined: they are held on the shared session. */
  readonly source: SessionSource | undefined
  /** The scoped call that holds the locks while its work runs; undefined for a handle, which any code may release. */
  readonly scope: LockScope | undefined
  /** The innermost scope that cannot end before the wait: deadlock detection follows it. For a handle, the scope that asked for it. */
  readonly waitsIn: LockScope | undefined
}
