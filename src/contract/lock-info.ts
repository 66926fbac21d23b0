/* What `holder`, `list` and `check` answer with. */

/** Who holds a lock, as far as the server tells. */
export interface LockHolder {
  /** The server's id of the connection. */
  readonly connectionId: string
  readonly user?: string | undefined
  readonly host?: string | undefined
  readonly database?: string | undefined
  /** Since when. */
  readonly since?: Date | undefined
  /** Host name and process id, where the holder is an instance of this library: `worker-3:4711`. */
  readonly process?: string | undefined
}

/** Who waits for a lock. */
export interface LockWaiter extends Omit<LockHolder, 'connectionId'> {
  /** The connection that is blocked; undefined for callers of this process that queue behind one, or that poll. */
  readonly connectionId?: string | undefined
}

/** A lock on the server. */
export interface LockInfo {
  readonly key: string
  /** The name as a caller gave it, where that is known. */
  readonly name?: string | undefined
  readonly holder: LockHolder
  /** Who waits for it, in order. Of other processes only what blocks on the server can be seen. */
  readonly waiters: readonly LockWaiter[]
}

/** The locks that `list` found. */
export interface LockList extends Array<LockInfo> {
  /** Why locks of other applications may be missing here; undefined when the server told all. */
  readonly note?: string | undefined
}

/** Something about the server or the set-up that makes named locks unsafe or slow here. */
export interface Finding {
  /** Stable, for scripts. */
  readonly code: string
  readonly severity: 'error' | 'warning' | 'info'
  /** What was found, and what follows from it. */
  readonly message: string
  /** What to do about it. */
  readonly remedy: string
}
