import type { Duration } from '../contract/duration.js'
import type { NamedLockService } from '../service/named-lock-service.js'

/* The types of `@WithNamedLock`. */

/** A method that returns a promise. */
export type AsyncMethod = (this: any, ...args: any) => Promise<any>

/** Only ever seen in compiler messages. */
export interface NamedLockTypeError<Message extends string> {
  readonly error: Message
}

type Result<M extends AsyncMethod> = Awaited<ReturnType<M>>

export interface WithNamedLockOptions<M extends AsyncMethod = AsyncMethod, This = any> {
  /**
   * The service to take the lock from, or a function of the instance that gives it. Default: the first property of the
   * instance that is a NamedLockService, else the service of `this.dataSource` or of `this.manager`'s DataSource, else
   * `NamedLockService.getDefault()`. Needed for services in `#private` fields, which nobody else can see, and where an
   * instance has several.
   */
  locks?: NamedLockService<any> | ((self: This) => NamedLockService<any>) | undefined
  /**
   * What a call does that does not get the lock in time. `'throw'` (default): it rejects with the NamedLockTimeoutError.
   * `'skip'`: it resolves to undefined. A function answers in the method's place, with the same `this` and arguments and
   * without the lock. With `'skip'` or a function an omitted timeout means 0: the lock is had at once or not at all.
   * Timeouts that come out of the method itself always go through.
   */
  onBusy?:
    | 'throw'
    | (undefined extends Result<M>
        ? 'skip'
        : NamedLockTypeError<"onBusy: 'skip' needs a method that may return undefined">)
    | ((this: This, ...args: Parameters<M>) => Result<M> | PromiseLike<Result<M>>)
    | undefined
  /** A call from inside a scope that holds the lock already is counted instead of being a NamedLockReentrancyError. Default false. */
  reentrant?: boolean | undefined
  /** A reader lock, where the server has them (PostgreSQL): calls with it run together, those without it alone. Default false. */
  shared?: boolean | undefined
  /**
   * Runs the method in a transaction on the lock's own connection: the lock ends after the COMMIT. The transaction's
   * EntityManager is `NamedLock.current()!.manager` while the method runs; `this.manager` of a repository is not part of it.
   * Default false.
   */
  transaction?: boolean | undefined
  /**
   * The shortest time the lock is held, counted from when it was got, even if the method is quicker or fails; the call
   * settles when the lock has been released. For jobs that several instances start at about the same time. With
   * `transaction: true` the transaction stays open as long. `close()` ends the hold. Default 0.
   */
  holdAtLeast?: Duration | undefined
  /** Ends the wait for the lock when aborted, or a function of the instance's call that gives such a signal. */
  signal?: AbortSignal | ((this: This, ...args: Parameters<M>) => AbortSignal | undefined) | undefined
}

/** `This | M` ranks below the second and third parameter when TypeScript infers, so one type serves both kinds of decorator. */
export interface NamedLockDecorator<M extends AsyncMethod = AsyncMethod, This = unknown> {
  (method: This | M, context: ClassMethodDecoratorContext<This, M>): void
  (target: This | M, key: string | symbol, descriptor: TypedPropertyDescriptor<M>): void
}
