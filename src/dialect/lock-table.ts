/* The server's table of locks, as every dialect reads it. */

/** One connection's share in one lock, as the server sees it. */
export interface LockRow {
  readonly key: string
  readonly isGranted: boolean
  /** Held together with others. */
  readonly isShared?: boolean | undefined
  readonly connectionId: string
  readonly user?: string | undefined
  readonly host?: string | undefined
  readonly database?: string | undefined
  /** For how long it has held or waited, in milliseconds, where the server says. */
  readonly forMs?: number | undefined
}

/** The locks of the server, as far as it shows them. */
export interface LockTable {
  /** Waiters stand in their order. */
  readonly rows: readonly LockRow[]
  /** Why holders may be missing in it; undefined when all of them are there. */
  readonly missing?: string | undefined
}
