import type { LockMode } from './lock-mode.js'

/* The results of `holder`, `list` and `check`. */

/** The holder of a lock, as far as the server reports it. */
export interface LockHolder {
  /** The server's id of the connection. */
  readonly connectionId: string
  /** The account of the connection; undefined if the server does not show it. */
  readonly user?: string | undefined
  /** The client's host, as the server sees it. */
  readonly host?: string | undefined
  /** The database that the connection uses. */
  readonly database?: string | undefined
  /** When the lock was granted. */
  readonly since?: Date | undefined
  /** Host name and process id, where the holder is an instance of this library: `worker-3:4711`. */
  readonly process?: string | undefined
  /** With which mode it holds the lock, as far as the server shows it. On PostgreSQL a writer's lock is an ordinary one. */
  readonly mode?: LockMode | undefined
  /** Which permit of the name it has; undefined for an ordinary lock. */
  readonly permit?: number | undefined
}

/** A waiter for a lock. Its `mode` is the one that it waits for. */
export interface LockWaiter extends Omit<LockHolder, 'connectionId' | 'permit'> {
  /** The connection that is blocked; undefined for callers of this process that queue or poll. */
  readonly connectionId?: string | undefined
}

/** A lock on the server. */
export interface LockInfo {
  /** The lock's name on the server. */
  readonly key: string
  /** The name as a caller gave it, if known. */
  readonly name?: string | undefined
  /** Which permit of the name it is, with the option `permits`; undefined for an ordinary lock. */
  readonly permit?: number | undefined
  /** `read`, `write`: it is held with that mode, as far as the server shows it. On PostgreSQL a writer's lock is an ordinary one. */
  readonly mode?: LockMode | undefined
  /** The first of its holders. */
  readonly holder: LockHolder
  /** Readers hold a lock together. */
  readonly holders: readonly LockHolder[]
  /** Its waiters, in order. Of other processes, only those that block on the server are visible. */
  readonly waiters: readonly LockWaiter[]
}

/** The locks that `list` found. */
export interface LockList extends Array<LockInfo> {
  /** Why locks of other applications may be missing here; undefined when the list is complete. */
  readonly note?: string | undefined
}

/** Something about the server or the set-up that makes named locks unsafe or slow here. */
export interface Finding {
  /** Stable, for scripts. */
  readonly code: string
  /** `error`: locks do not work as promised here. `warning`: they may not. `info`: something to know. */
  readonly severity: 'error' | 'warning' | 'info'
  /** The problem and its consequences. */
  readonly message: string
  /** How to fix it. */
  readonly remedy: string
}
