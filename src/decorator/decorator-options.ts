import type { Duration } from '../contract/duration.js'
import type { LockMode, LockNames, ReleaseKind, RetryOptions } from '../contract/options.js'
import type { NamedLockTypeError } from '../contract/type-error.js'
import type { NamedLockService } from '../service/named-lock-service.js'

/* The types of `@WithNamedLock`. */

/** A method that returns a promise. */
export type AsyncMethod = (this: any, ...args: any) => Promise<any>

/** Any method, so that the compiler infers the decorated one first and finds fault with it afterwards, in words. */
export type AnyMethod = (this: any, ...args: any) => any

/** The name of a method's lock: the first argument of `@WithNamedLock`. */
export type NameOfMethod<M extends AnyMethod, This> =
  ReturnType<M> extends Promise<any>
    ? LockNames | ((this: This, ...args: Parameters<M>) => LockNames)
    : NamedLockTypeError<'@WithNamedLock needs a method that returns a promise: make it async'>

type Result<M extends AnyMethod> = Awaited<ReturnType<M>>

/**
 * The options of `@WithNamedLock`.
 *
 * @example
 * ```ts
 * class Reports {
 *   constructor(private readonly locks: NamedLockService) {}
 *
 *   ;@WithNamedLock('nightly-report', 0, { onBusy: 'skip', holdAtLeast: '30s' })
 *   async nightly(): Promise<void> {
 *     await report()
 *   }
 * }
 * ```
 */
export interface WithNamedLockOptions<M extends AnyMethod = AsyncMethod, This = any> {
  /**
   * The service that holds the lock, or a function of the instance that returns it. Default: the first property of the
   * instance that is a NamedLockService, otherwise the service of `this.dataSource` or of `this.manager`'s DataSource,
   * otherwise `NamedLockService.getDefault()`. Needed for a service in a `#private` field, which the decorator cannot
   * see, and if an instance has several services.
   */
  locks?: NamedLockService<any> | ((self: This) => NamedLockService<any>) | undefined
  /**
   * What a call does if the lock times out. `'throw'` (default): it rejects with the NamedLockTimeoutError. `'skip'`:
   * it resolves to undefined. A function is called instead of the method, with the same `this` and arguments and
   * without the lock. With `'skip'` or a function an omitted timeout means 0: the call does not wait. Timeout errors
   * thrown inside the method are always rethrown.
   */
  onBusy?:
    | 'throw'
    | (undefined extends Result<M>
        ? 'skip'
        : NamedLockTypeError<"onBusy: 'skip' needs a method that may return undefined">)
    | ((this: This, ...args: Parameters<M>) => Result<M> | PromiseLike<Result<M>>)
    | undefined
  /** Nested calls are allowed and reference-counted, instead of throwing a NamedLockReentrancyError. Default false. */
  reentrant?: boolean | undefined
  /**
   * Readers and writers of the name: a `'read'` lock is held together with other readers, a `'write'` lock alone. Default: an ordinary
   * lock, held alone.
   */
  mode?: LockMode | undefined
  /**
   * A semaphore: at most so many calls run at a time, in all processes together. From 1 to 1 000. `NamedLock.current()!.permit` says which
   * of them a call has. For one name only, and not together with `mode`. Default: one call at a time.
   */
  permits?: number | undefined
  /**
   * Runs the method in a transaction on the lock's own connection: the lock is released after the COMMIT. The
   * transaction's EntityManager is `NamedLock.current()!.manager` while the method runs. With the service's option
   * `ambientTransactions`, injected repositories take part, too. Default false.
   */
  transaction?: boolean | undefined
  /**
   * With `transaction: true`: how often the method runs again after the server has rolled its transaction back, as in TransactionOptions.
   * Each run has the same arguments, so the method must not change them. Default: no repetition.
   */
  retry?: RetryOptions | undefined
  /**
   * The method runs once for each name, whatever crashes, as `locks.runOnce`: `true`, or `{ every: '20h' }` for once in that time. It runs in a
   * transaction, with which what it writes to this database is committed together with the note that it is done. Calls of a name that is
   * done resolve to undefined. Implies `transaction: true`. Default false.
   */
  once?:
    | false
    | (undefined extends Result<M>
        ? true | { every: Duration }
        : NamedLockTypeError<'once needs a method that may return undefined'>)
    | undefined
  /**
   * The minimum time that the lock is held, counted from its acquisition, even if the method is faster or fails. The
   * call settles when the lock has been released. For jobs that several instances start at about the same time. With
   * `transaction: true` the transaction stays open as long, and a repetition by `retry` begins only after that. `close()` ends the hold. Default 0.
   */
  holdAtLeast?: Duration | undefined
  /**
   * `'background'`: calls do not wait for the server's answer to the release, as in AcquireOptions. Not with `transaction: true`.
   * Default: the service's.
   */
  release?: ReleaseKind | undefined
  /** Cancels the wait for the lock when aborted. A function of the call may return the signal. */
  signal?: AbortSignal | ((this: This, ...args: Parameters<M>) => AbortSignal | undefined) | undefined
}

/** `This | M` ranks below the second and third parameter when TypeScript infers, so one type serves both kinds of decorator. */
export interface NamedLockDecorator<M extends AnyMethod = AsyncMethod, This = unknown> {
  (method: This | M, context: ClassMethodDecoratorContext<This, M>): void
  (target: This | M, key: string | symbol, descriptor: TypedPropertyDescriptor<M>): void
}
