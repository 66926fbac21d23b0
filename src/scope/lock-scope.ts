import { AsyncLocalStorage } from 'node:async_hooks'
import { processWide } from '../util/process-wide.js'

/** The lock of a scope, as far as the scope uses it: the handle. */
export interface ScopedLock {
  readonly names: readonly string[]
  readonly isHeld: boolean
}

/** A transaction that the code inside a scope runs in. */
export interface ScopedTransaction {
  /** Its EntityManager. */
  readonly manager: unknown
  readonly isActive: boolean
  /** The library began it, not the application. */
  readonly isOurs: boolean
  /** The lock of that key, if it is held until the transaction has ended. */
  claimOf(key: string): object | undefined
}

/**
 * One scoped call (`withLock`, `transaction`, a decorated method): the node that re-entrance, `NamedLock.current()` and
 * the detection of deadlocks inside this process look at. Made before the lock is asked for, open until its work has ended.
 */
export class LockScope {
  #lock: ScopedLock | undefined
  #transaction: ScopedTransaction | undefined
  #hasLocks = false
  #isOpen = true
  /** The claims that code inside this scope waits for: the scope cannot end before them. Written by deadlock detection. */
  waits: Set<unknown> | undefined

  constructor(
    readonly parent: LockScope | undefined,
    readonly dataSource: object,
    /** The exclusion keys of its locks. */
    readonly keys: readonly string[],
    /** The scope in which the work's transaction begins and ends, with its subscribers; not the work itself. */
    readonly isAroundWork = false,
    /** Code inside it takes no part in the transactions of the scopes around it. */
    readonly isOutside = false,
  ) {}

  /** The handle. Kept after the work: it counts only while `isOpen`. */
  get lock(): ScopedLock | undefined {
    return this.#lock
  }

  /** The transaction that the work runs in, if it is this scope's. */
  get transaction(): ScopedTransaction | undefined {
    return this.#transaction
  }

  /** It holds locks while it waits for others. */
  get hasLocks(): boolean {
    return this.#hasLocks
  }

  /** False once the work has ended: branches that outlive it do not hold the lock any more. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Some of the locks are granted, while the scope waits for others; or no longer. */
  noteLocks(hasLocks: boolean): void {
    this.#hasLocks = hasLocks
  }

  /** All locks are granted: the work begins. */
  begin(lock: ScopedLock | undefined, transaction?: ScopedTransaction): void {
    this.#lock = lock
    this.#transaction = transaction
  }

  /** The work has ended. */
  end(): void {
    this.#isOpen = false
  }
}

/** The scope in which the `transaction` of `scope` begins and ends: it holds the same locks, and is not over when the work is. */
export function scopeAround(scope: LockScope, transaction: ScopedTransaction | undefined): LockScope {
  const around = new LockScope(scope, scope.dataSource, scope.keys, true)
  around.begin(scope.lock, transaction)
  return around
}

/** The scope of code that takes no part in the transactions around it, though it runs under their locks. */
export function scopeOutside(dataSource: object): LockScope {
  return new LockScope(currentScope(), dataSource, [], false, true)
}

const running = processWide('running', () => new AsyncLocalStorage<LockScope>())

/** The innermost scoped call around the running code. */
export function currentScope(): LockScope | undefined {
  return running.getStore()
}

/** Calls `work(argument)` inside `scope`. */
export function runInScope<T, A = undefined>(scope: LockScope, work: (argument: A) => T, argument?: A): T {
  return running.run(scope, work, argument as A)
}

/** The scope around the running code that holds `key` on `dataSource`, whichever service took it. */
export function scopeHolding(dataSource: object, key: string): LockScope | undefined {
  for (let scope = running.getStore(); scope; scope = scope.parent) {
    if (!scope.isOpen || scope.dataSource !== dataSource) continue
    if ((scope.lock && scope.keys.includes(key)) || scope.transaction?.claimOf(key)) return scope
  }
  return undefined
}

/** The innermost transaction of `dataSource` that the running code is known to be in. */
export function transactionScope(dataSource: object): LockScope | undefined {
  for (let scope = running.getStore(); scope; scope = scope.parent) {
    if (scope.dataSource !== dataSource) continue
    if (scope.isOutside) return undefined
    if (scope.isOpen && scope.transaction?.isActive) return scope
  }
  return undefined
}

export function isWithin(scope: LockScope, outer: LockScope): boolean {
  for (let one: LockScope | undefined = scope; one; one = one.parent) if (one === outer) return true
  return false
}

/** The innermost lock that the running code holds, or the innermost of that name. */
export function findHeld(name: string | undefined): ScopedLock | undefined {
  for (let scope = running.getStore(); scope; scope = scope.parent) {
    if (scope.isOpen && scope.lock && (name === undefined || scope.lock.names.includes(name))) return scope.lock
  }
  return undefined
}
