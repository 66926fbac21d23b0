import type { LockMode, RetryOptions } from '../contract/options.js'
import type { LeaderTerm } from '../scope/leader-term.js'

/** The properties of every event of a service. */
export interface NamedLockEvent {
  /** The name as the caller gave it. */
  readonly name: string
  /** The lock's key on the server. */
  readonly key: string
  /** How long the caller waited for it, in milliseconds. */
  readonly waitedMs: number
  /** The lock is a leader's (`lead`): `waitedMs` and `heldMs` may be hours. */
  readonly isLeaders?: true | undefined
  /** With the option `mode`. */
  readonly mode?: LockMode | undefined
  /** With the option `permits`, once the caller has one. */
  readonly permit?: number | undefined
}

/** The events of a NamedLockService, each with the arguments of its listeners. */
export interface NamedLockEvents {
  /** The lock is taken, and a caller waits for it. */
  waiting: [event: NamedLockEvent]
  /** A caller holds the lock: `server` if the server granted it, `handover` if a caller of this process passed it on. */
  acquired: [event: NamedLockEvent & { readonly by: 'server' | 'handover' }]
  /** A caller's timeout expired. */
  timedOut: [event: NamedLockEvent]
  /**
   * A held lock was lost: its connection died or its lease ran out. With `release: 'background'` also when the release finds the lock or
   * its connection gone: `isReleased` then, and `released` came before.
   */
  lost: [event: NamedLockEvent & { readonly error: Error; readonly isReleased?: true | undefined }]
  /**
   * The server has rolled a transaction back, and its work runs again (option `retry`). `tries`: how often it has run so far; `error`: the
   * database's own.
   */
  retried: [
    event: NamedLockEvent & { readonly reason: keyof RetryOptions; readonly tries: number; readonly error: Error },
  ]
  /** A campaign (`lead`) was won: a term of this process begins. */
  elected: [event: NamedLockEvent & { readonly term: LeaderTerm }]
  /**
   * The term of this process is over, after `ledMs` milliseconds; its work may still be ending. `reason` is that of `term.signal`: a
   * NamedLockLostError, the error of the work, or a resignation. `by`: what ended it; the end of the leadership in any way is a resignation.
   */
  revoked: [
    event: NamedLockEvent & {
      readonly term: LeaderTerm
      readonly ledMs: number
      readonly reason: Error
      readonly by: 'loss' | 'resignation' | 'return' | 'failure'
    },
  ]
  /** A lock was released, after `heldMs` milliseconds. */
  released: [event: NamedLockEvent & { readonly heldMs: number }]
  /** The release of a lock failed. Its connection was destroyed, so the server frees the lock, at the latest when the lease ends. */
  releaseFailed: [event: NamedLockEvent & { readonly error: unknown }]
}
