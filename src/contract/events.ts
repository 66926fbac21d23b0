/** What every event of a service carries. */
export interface NamedLockEvent {
  /** The name as the caller gave it. */
  readonly name: string
  /** What the server knows it by. */
  readonly key: string
  /** How long the caller waited for it, in milliseconds. */
  readonly waitedMs: number
}

/** The events of a NamedLockService, each with the arguments of its listeners. */
export interface NamedLockEvents {
  /** A caller could not have the lock at once and waits. */
  waiting: [event: NamedLockEvent]
  /** A caller has the lock: `server` when the server granted it, `handover` when a caller of this process passed it on. */
  acquired: [event: NamedLockEvent & { readonly by: 'server' | 'handover' }]
  /** A caller's time ran out. */
  timedOut: [event: NamedLockEvent]
  /** A held lock was lost: its connection died or its lease ran out. */
  lost: [event: NamedLockEvent & { readonly error: Error }]
  /** A lock was given back, after `heldMs` milliseconds. */
  released: [event: NamedLockEvent & { readonly heldMs: number }]
  /** Giving a lock back failed; its connection was destroyed, so the server has freed it or will when the lease ends. */
  releaseFailed: [event: NamedLockEvent & { readonly error: unknown }]
}
