import type { DataSource } from 'typeorm'
import type { DataSourceLike, EntityManagerLike, ManagerOf, MigrationsOf } from '../typeorm/data-source-like.js'
import { Emitter } from '../observe/emitter.js'
import { LockEngine } from './lock-engine.js'
import type { NamedLockEvents } from '../observe/events.js'
import type { Duration } from '../contract/duration.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
/* eslint-disable @typescript-eslint/no-unused-vars -- editors and the reference follow the links of the comments by these */
import type {
  InvalidLockNameError,
  NamedLockClosedError,
  NamedLockDeadlockError,
  NamedLockError,
  NamedLockInsideTransactionError,
  NamedLockLostError,
  NamedLockOutsideTransactionError,
  NamedLockReentrancyError,
  NamedLockTimeoutError,
  UnsupportedDriverError,
} from '../contract/errors.js'
/* eslint-enable @typescript-eslint/no-unused-vars */
import type { ServiceDefaults } from '../contract/settings.js'
import type { DoneByHand } from '../once/once.js'
import type { LeadOptions, LeaderWork, Leadership } from '../lead/leadership.js'
import type { Inspector } from '../inspect/inspector.js'
import type { NamedLock } from '../scope/named-lock.js'
import type {
  AcquireOptions,
  CheckOptions,
  InspectOptions,
  ListOptions,
  LockName,
  LockNames,
  NamedLockServiceOptions,
  SessionKind,
  TransactionOptions,
  TryResult,
} from '../contract/options.js'
import type { ForgetDoneOptions, ForgetOptions, OnceOptions, OnceResult } from '../once/once-options.js'
import type { Finding, LockHolder, LockList } from '../contract/lock-info.js'
import type { NamedLockTypeError } from '../contract/type-error.js'
import { servicesOf, type Registered } from './service-registry.js'
import { show } from '../util/show.js'
import { recognisedAcrossCopies } from '../util/across-copies.js'
import { processWide } from '../util/process-wide.js'

/** The handle of a lock of that kind: `manager` is there for dedicated sessions. */
export type NamedLockOf<DS extends DataSourceLike, S extends SessionKind> = NamedLock<
  S extends 'dedicated' ? ManagerOf<DS> : undefined
>
/** What the compiler says of a call without work. No alias of the whole: compilers would print its name alone. */
type NoWork = 'the last argument is the work: a function that runs while the lock is held'
/** Runs while the lock is held. */
export type Work<L, T> = (lock: L) => T | PromiseLike<T>
/** Runs inside the transaction while the lock is held. */
export type TransactionWork<DS extends DataSourceLike, T> = (
  manager: ManagerOf<DS>,
  lock: NamedLock<ManagerOf<DS>>,
) => T | PromiseLike<T>

const byDefault = processWide('default', () => ({ service: undefined as NamedLockService<any> | undefined }))

/** For the command line, which asks more about locks than the calls of a service do. */
export let inspectorOf: (service: NamedLockService<any>) => Inspector
/** The same for its `run --once`: the work of a shell is in no transaction. */
export let doneOf: (service: NamedLockService<any>) => DoneByHand

/**
 * Locks by name, held in the database of a DataSource: they exclude callers of this process and of all others that use the
 * same server.
 *
 * Every call that takes a name also takes a list of names: all of them are acquired or none, in the same order everywhere, so that callers
 * that list them in different orders do not block each other.
 *
 * Besides the errors that a call documents, all of them reject with InvalidLockNameError and NamedLockConfigurationError for
 * wrong arguments (before anything is sent), NamedLockClosedError after `close()`, and NamedLockError (`DATABASE`, the database's
 * own error as `cause`) when the database cannot be asked.
 *
 * @example
 * const locks = new NamedLockService(dataSource)
 * await locks.withLock(`order:${id}`, { timeout: '5s' }, async () => { … })
 */
export class NamedLockService<DS extends DataSourceLike = DataSource> {
  /** The DataSource whose database holds the locks. */
  readonly dataSource: DS
  /** As passed to the constructor. */
  readonly options: NamedLockServiceOptions
  readonly #engine: LockEngine
  readonly #events = new Emitter(this)
  readonly #registered: Registered

  static {
    inspectorOf = (service) => service.#engine.inspector
    doneOf = (service) => service.#engine.done
  }

  /**
   * Services of one DataSource share their connections. A service without the option `namespace` gets the namespace of the existing ones.
   *
   * @throws NamedLockConfigurationError for wrong options, for a pool that is too small (one connection, or no room for sessions with other
   * settings than those of the existing services), without the option `namespace` where the existing services have several, and
   * when another version of the package has services on the DataSource; UnsupportedDriverError when its database has no named locks.
   */
  constructor(dataSource: DS, options?: NamedLockServiceOptions)
  constructor(dataSource: DS, options: NamedLockServiceOptions = {}, defaults: ServiceDefaults = {}) {
    const engine = (this.#engine = new LockEngine(dataSource, options, defaults, this.#events))
    this.dataSource = dataSource
    this.options = options
    this.#registered = {
      service: this,
      isNamespaceGiven: engine.isNamespaceGiven,
      get namespace() {
        return engine.namespace
      },
      get isClosed() {
        return engine.isClosed
      },
    }
    servicesOf(dataSource).add(this.#registered)
  }

  /**
   * The EntityManager of the `transaction` around the running code, otherwise the DataSource's. Everything that is read and written with
   * it, and with its repositories, is part of that transaction.
   */
  get manager(): ManagerOf<DS> {
    return (this.#engine.manager ?? this.dataSource.manager) as ManagerOf<DS>
  }

  /**
   * Runs work that takes no part in the `transaction` around the running code: what it sends goes to the pool, is committed separately, and
   * stays after a rollback, such as an audit log. `locks.manager` is the DataSource's there. The locks around it stay held.
   *
   * @returns What the work returns.
   * @throws A {@link NamedLockConfigurationError}: `work` is no function.
   *
   * @example
   * await locks.transaction(`order:${id}`, async (manager) => {
   *   await locks.outside(() => locks.manager.query('INSERT INTO audit (text) VALUES (?)', ['tried']))
   *   await settle(manager, order)
   * })
   */
  outside<T>(work: () => T): T {
    if (typeof work === 'function') return this.#engine.outside(work)
    throw new NamedLockConfigurationError(
      `outside: the work must be a function; got ${show(work)}. Call outside(() => …).`,
    )
  }

  /**
   * The service of a DataSource: the existing one, with its own options, until it is closed; otherwise a new one with default options and
   * the namespace of the services before it. Of several it is the one that `for` created, otherwise the oldest. In a Nest application with
   * a NamedLockModule for the DataSource it is the module's.
   *
   * @throws A {@link NamedLockConfigurationError}: The services of the DataSource have several namespaces and none is the default service: their locks do not exclude each other.
   * @throws An {@link UnsupportedDriverError}: The database has no named locks.
   *
   * @example
   * const locks = NamedLockService.for(dataSource)
   * await locks.withLock('report', report)
   */
  static for<DS extends DataSourceLike>(dataSource: DS): NamedLockService<DS> {
    const found = isObject(dataSource) ? servicesOf(dataSource).find(byDefault.service) : undefined
    if (found) return found as NamedLockService<DS>
    const service = new NamedLockService(dataSource)
    servicesOf(dataSource).choose(service.#registered)
    return service
  }

  /**
   * Sets the service for decorated methods of instances that lead to none; `undefined` unsets it.
   *
   * @throws A {@link NamedLockConfigurationError}: `service` is not a NamedLockService.
   *
   * @example
   * NamedLockService.setDefault(new NamedLockService(dataSource))
   */
  static setDefault(service: NamedLockService<any> | undefined): void {
    if (service !== undefined && !(service instanceof NamedLockService)) {
      throw new NamedLockConfigurationError(`setDefault: ${show(service)} is not a NamedLockService.`)
    }
    byDefault.service = service
  }

  /**
   * The service that `setDefault` has set, for code without access to an instance.
   *
   * @example
   * const service = NamedLockService.getDefault() ?? NamedLockService.for(dataSource)
   */
  static getDefault(): NamedLockService<any> | undefined {
    return byDefault.service
  }

  /**
   * Runs `work` while the lock is held. The lock is released on every path; errors of the work are rethrown unchanged.
   *
   * @throws A {@link NamedLockTimeoutError}: The lock was not free in time.
   * @throws A {@link NamedLockLostError}: The lock was lost during the work, even if the work returned: it may not have been alone.
   * @throws A {@link NamedLockReentrancyError}: The running scope holds the lock already.
   * @throws A {@link NamedLockDeadlockError}: Waiting would never end.
   * @throws A {@link NamedLockInsideTransactionError}: Called inside a transaction of the DataSource.
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock.
   * @throws A {@link NamedLockConfigurationError}: Wrong options, or a server without safe named locks.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * await locks.withLock(`order:${id}`, { timeout: '5s' }, async (lock) => {
   *   await charge(lock.signal)
   * })
   */
  withLock<T>(name: LockNames, work: Work<NamedLockOf<DS, 'shared'>, T> | NamedLockTypeError<NoWork>): Promise<T>
  withLock<T, S extends SessionKind = 'shared'>(
    name: LockNames,
    options: AcquireOptions<S> | undefined,
    work: Work<NamedLockOf<DS, S>, T>,
  ): Promise<T>
  withLock(name: LockNames, optionsOrWork: unknown, maybeWork?: unknown): Promise<unknown> {
    // Not async: a second promise around the engine's would cost more than everything else here.
    try {
      const [options, work] = optionsAndWork('withLock', optionsOrWork, maybeWork)
      return this.#engine.withLock(name, options, work)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Like `withLock`, but resolves to `{ acquired: false }` when the lock is taken. Does not wait unless `timeout` is given.
   *
   * @throws A {@link NamedLockLostError}: The lock was lost during the work, even if the work returned: it may not have been alone.
   * @throws A {@link NamedLockReentrancyError}: The running scope holds the lock already.
   * @throws A {@link NamedLockDeadlockError}: Waiting would never end.
   * @throws A {@link NamedLockInsideTransactionError}: Called inside a transaction of the DataSource.
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock.
   * @throws A {@link NamedLockConfigurationError}: Wrong options, or a server without safe named locks.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * const result = await locks.tryWithLock('nightly-report', report)
   * if (!result.acquired) metrics.count('skipped')
   */
  tryWithLock<T>(
    name: LockNames,
    work: Work<NamedLockOf<DS, 'shared'>, T> | NamedLockTypeError<NoWork>,
  ): Promise<TryResult<T>>
  tryWithLock<T, S extends SessionKind = 'shared'>(
    name: LockNames,
    options: AcquireOptions<S> | undefined,
    work: Work<NamedLockOf<DS, S>, T>,
  ): Promise<TryResult<T>>
  async tryWithLock(name: LockNames, optionsOrWork: unknown, maybeWork?: unknown): Promise<TryResult<unknown>> {
    const [options, work] = optionsAndWork('tryWithLock', optionsOrWork, maybeWork)
    return this.#engine.tryWithLock(name, options, work)
  }

  /**
   * Runs `work` in a transaction while the lock is held, both on one connection: the lock is acquired before the transaction
   * begins and released after it has ended, so no update is lost. When the connection dies, lock and transaction die together, so a lost
   * lock cannot lead to a lost update.
   *
   * Inside, a statement that reaches another connection of the DataSource rejects with a NamedLockOutsideTransactionError, unless the
   * options `ambientTransactions` or `outsideTransaction` say otherwise.
   *
   * @throws A {@link NamedLockTimeoutError}: The lock was not free in time.
   * @throws A {@link NamedLockLostError}: The lock was lost during the work, even if the work returned: it may not have been alone.
   * @throws A {@link NamedLockReentrancyError}: The running scope holds the lock already.
   * @throws A {@link NamedLockDeadlockError}: Waiting would never end.
   * @throws A {@link NamedLockInsideTransactionError}: Called inside a transaction of the DataSource.
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock.
   * @throws A {@link NamedLockConfigurationError}: Wrong options, or a server without safe named locks.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   * @throws A {@link NamedLockOutsideTransactionError}: A statement of the work reached another connection of the DataSource.
   *
   * @example
   * await locks.transaction([`account:${from}`, `account:${to}`], async (manager) => {
   *   await manager.query('UPDATE account SET balance = balance - 10 WHERE id = ?', [from])
   *   await manager.query('UPDATE account SET balance = balance + 10 WHERE id = ?', [to])
   * })
   */
  transaction<T>(name: LockNames, work: TransactionWork<DS, T> | NamedLockTypeError<NoWork>): Promise<T>
  transaction<T>(name: LockNames, options: TransactionOptions | undefined, work: TransactionWork<DS, T>): Promise<T>
  async transaction(name: LockNames, optionsOrWork: unknown, maybeWork?: unknown): Promise<unknown> {
    const [options, work] = optionsAndWork('transaction', optionsOrWork, maybeWork)
    return this.#engine.transaction(name, options, work)
  }

  /**
   * Runs `work` in `transaction` unless it was done before: under the lock of the name, a row in the table `named_lock_done` says so. The
   * row is written in the transaction of the work, so what the work writes to this database happens exactly once, whatever crashes.
   * What it does elsewhere (a message that is sent, an HTTP call) may happen again after a rollback. A name that is done costs one read.
   *
   * Work that throws, is rolled back or has lost its lock is not done. When the connection is lost during the COMMIT (`outcome:
   * 'unknown'`), call it again: the row decides.
   *
   * @returns `{ ran: true, value }`, or `{ ran: false, doneAt }` if it was done before.
   * @throws A {@link NamedLockTimeoutError}: The lock was not free in time.
   * @throws A {@link NamedLockLostError}: The lock was lost: the work was rolled back, or its outcome is unknown.
   * @throws A {@link NamedLockReentrancyError}: Called inside work under the lock of that name.
   * @throws A {@link NamedLockInsideTransactionError}: Called inside another transaction.
   * @throws A {@link NamedLockConfigurationError}: The table cannot be created; the message has the statement to run.
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * const { ran } = await locks.runOnce(`stripe:${event.id}`, (manager) => settle(manager, event))
   * await locks.runOnce('nightly-report', { every: '20h' }, makeReport)
   */
  runOnce<T>(name: LockName, work: TransactionWork<DS, T> | NamedLockTypeError<NoWork>): Promise<OnceResult<T>>
  runOnce<T>(name: LockName, options: OnceOptions | undefined, work: TransactionWork<DS, T>): Promise<OnceResult<T>>
  async runOnce(name: LockName, optionsOrWork: unknown, maybeWork?: unknown): Promise<OnceResult<unknown>> {
    const [options, work] = optionsAndWork('runOnce', optionsOrWork, maybeWork)
    return this.#engine.runOnce(name, options, work)
  }

  /**
   * Lets `runOnce` run the work of that name again. Waits for a run that is under way. Resolves to true if it was done.
   *
   * @throws A {@link NamedLockTimeoutError}: A run that is under way did not end in time.
   * @throws A {@link NamedLockInsideTransactionError}: Called inside a transaction of the DataSource.
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * await locks.forget(`stripe:${event.id}`) // the next runOnce runs again
   */
  async forget(name: LockName, options?: ForgetOptions): Promise<boolean> {
    return this.#engine.forget(name, options)
  }

  /**
   * Removes what was done longer ago than `olderThan`, by the server's clock, in short batches: `forgetDone({ olderThan: '30d' })`. Only
   * names of this namespace, and none that were done by `exactName`. Resolves to how many.
   *
   * @throws A {@link NamedLockConfigurationError}: `olderThan` is missing.
   *
   * @example
   * const removed = await locks.forgetDone({ olderThan: '30d' })
   */
  async forgetDone(options: ForgetDoneOptions): Promise<number> {
    return this.#engine.forgetDone(options)
  }

  /**
   * Acquires the lock inside a transaction that is running already, on the transaction's own connection, and keeps it until the
   * outermost COMMIT or ROLLBACK has finished: the transaction is the handle. Savepoints do not end it. A QueryRunner that is
   * released while its transaction is active loses its connection, so that its next user does not inherit the lock.
   *
   * Under REPEATABLE READ the transaction keeps its snapshot: acquire the lock before the first read, or use a locking read
   * (`FOR UPDATE`).
   *
   * @param manager The transaction's EntityManager, from `dataSource.transaction` or a QueryRunner.
   * @throws A {@link NamedLockConfigurationError}: No transaction is running on the manager.
   * @throws A {@link NamedLockTimeoutError}: The lock was not free in time.
   * @throws A {@link NamedLockDeadlockError}: The holder waits for a lock of this transaction, in this process or as the server reports.
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * await dataSource.transaction(async (manager) => {
   *   await locks.lockTransaction(manager, `order:${id}`) // before the first read
   *   await settle(manager, order)
   * })
   */
  async lockTransaction(
    manager: EntityManagerLike,
    name: LockNames,
    options?: Omit<AcquireOptions, 'session' | 'permits'>,
  ): Promise<void> {
    return this.#engine.lockTransaction(manager, name, options)
  }

  /**
   * Acquires the lock and returns a handle: release it when done, or use `await using`. `withLock` is harder to get wrong.
   *
   * @throws A {@link NamedLockTimeoutError}: The lock was not free in time.
   * @throws A {@link NamedLockReentrancyError}: The running scope holds the lock already.
   * @throws A {@link NamedLockDeadlockError}: Waiting would never end.
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock.
   * @throws A {@link NamedLockConfigurationError}: Wrong options, or a server without safe named locks.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * await using lock = await locks.acquire(`order:${id}`, { timeout: '5s' })
   * await charge(lock.signal)
   */
  async acquire<S extends SessionKind = 'shared'>(
    name: LockNames,
    options?: AcquireOptions<S>,
  ): Promise<NamedLockOf<DS, S>> {
    return (await this.#engine.acquire(name, options)) as NamedLock<any> as NamedLockOf<DS, S>
  }

  /**
   * Like `acquire`, but resolves to null when the lock is taken. Does not wait unless `timeout` is given.
   *
   * @throws A {@link NamedLockReentrancyError}: The running scope holds the lock already.
   * @throws A {@link NamedLockDeadlockError}: Waiting would never end.
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock.
   * @throws A {@link NamedLockConfigurationError}: Wrong options, or a server without safe named locks.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * const lock = await locks.tryAcquire('nightly-report')
   * if (!lock) return
   * try {
   *   await report()
   * } finally {
   *   await lock.release()
   * }
   */
  async tryAcquire<S extends SessionKind = 'shared'>(
    name: LockNames,
    options?: AcquireOptions<S>,
  ): Promise<NamedLockOf<DS, S> | null> {
    return (await this.#engine.tryAcquire(name, options)) as NamedLock<any> | null as NamedLockOf<DS, S> | null
  }

  /**
   * Calls `dataSource.runMigrations()` in one instance at a time: instances that start together wait, and find nothing left to do. Lock and
   * migrations share one connection. The lock's
   * name is `migrations:` and the name of the migrations' table. When an instance fails or dies, the next one runs.
   *
   * @param options TypeORM's, and how long to wait for the lock: default 10 minutes, because the instance that migrates may take long.
   * @returns The migrations that this instance has run.
   * @throws A {@link NamedLockTimeoutError}: Another instance was still migrating when the time was up.
   * @throws A {@link NamedLockLostError}: The lock was lost during the migrations.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * await dataSource.initialize()
   * const migrations = await NamedLockService.for(dataSource).runMigrations()
   */
  async runMigrations(
    options?: NonNullable<Parameters<DS['runMigrations']>[0]> & Pick<AcquireOptions, 'timeout' | 'signal'>,
  ): Promise<MigrationsOf<DS>> {
    return (await this.#engine.runMigrations(options)) as MigrationsOf<DS>
  }

  /**
   * Elects a leader: one process at a time runs `work`, and another follows when it ends. Returns at once, and campaigns in the background
   * until `resign()`, `close()` or the abort of the option `signal`; meanwhile the process stays alive. The lock is the ordinary one of that name.
   *
   * The work ends when `term.signal` is aborted: let everything that it waits for end with it. It starts in an async context of its own. When it
   * returns or fails, the lock is released, and the process campaigns again after `restart`. Errors of the work become process warnings.
   *
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock, at once.
   * @throws A {@link NamedLockConfigurationError}: Wrong options, at once.
   * @throws A {@link NamedLockClosedError}: The service was closed, at once.
   *
   * @example
   * const leadership = locks.lead('scheduler', async (term) => {
   *   while (!term.signal.aborted) await tick(term.signal)
   * })
   */
  lead(name: LockName, work: LeaderWork): Leadership
  lead(name: LockName, options: LeadOptions | undefined, work: LeaderWork): Leadership
  lead(name: LockName, optionsOrWork: unknown, maybeWork?: unknown): Leadership {
    const [options, work] = optionsAndWork('lead', optionsOrWork, maybeWork)
    return this.#engine.lead(name, options, work)
  }

  /**
   * Whether the lock is held, by any process.
   *
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * if (await locks.isLocked(`order:${id}`)) metrics.count('busy')
   */
  async isLocked(name: LockName, options?: InspectOptions): Promise<boolean> {
    return this.#engine.inspector.isLocked(name, options)
  }

  /**
   * The holder of the lock; null when it is free.
   *
   * @throws An {@link InvalidLockNameError}: The name cannot be the name of a lock.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * const holder = await locks.holder(`order:${id}`)
   * console.log(holder ? `held by ${holder.process ?? holder.connectionId}` : 'free')
   */
  async holder(name: LockName, options?: InspectOptions): Promise<LockHolder | null> {
    return this.#engine.inspector.holder(name, options)
  }

  /**
   * Every lock of this namespace that is held on the server, with its waiters: also the locks of other processes and other
   * applications. Locks of this service are listed even where the server does not list any; the list's `note` says so then.
   *
   * @throws A {@link NamedLockError}: The database user may not see the server's locks; the message names the missing grant.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * for (const { name, key, holder, waiters } of await locks.list({ prefix: 'order:' })) {
   *   console.log(name ?? key, holder.connectionId, waiters.length)
   * }
   */
  async list(options?: ListOptions): Promise<LockList> {
    return this.#engine.inspector.list(options)
  }

  /**
   * Findings about the server and the set-up that make named locks unsafe or slow here, worst first; empty when all is well. For
   * the start of an application or a deployment's checks. It opens two connections of its own for a moment, and tries on them what
   * locks promise.
   *
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * const errors = (await locks.check()).filter(({ severity }) => severity === 'error')
   * if (errors.length > 0) throw new Error(errors.map(({ message }) => message).join(' '))
   */
  async check(options?: CheckOptions): Promise<Finding[]> {
    return this.#engine.inspector.check(options)
  }

  /**
   * Whether locks can be acquired here, for health checks: takes and releases a lock of its own on the lock session.
   *
   * @param timeout How long to wait. Default: the service's `timeout`.
   * @returns The milliseconds it took.
   * @throws A {@link NamedLockTimeoutError}: There was no answer in time.
   * @throws A {@link NamedLockClosedError}: The service was closed.
   *
   * @example
   * const milliseconds = await locks.ping('1s')
   */
  async ping(timeout?: Duration): Promise<number> {
    return this.#engine.inspector.ping(timeout)
  }

  /**
   * Calls `listener` for every such event. An error that it throws becomes a process warning.
   *
   * @example
   * locks.on('lost', () => metrics.count('locks lost'))
   */
  on<E extends keyof NamedLockEvents>(event: E, listener: (...args: NamedLockEvents[E]) => void): this {
    this.#events.on(event, listener)
    return this
  }

  /**
   * Calls `listener` for the next such event only.
   *
   * @example
   * locks.once('lost', () => metrics.count('first loss'))
   */
  once<E extends keyof NamedLockEvents>(event: E, listener: (...args: NamedLockEvents[E]) => void): this {
    this.#events.once(event, listener)
    return this
  }

  /**
   * Removes a listener that `on` or `once` has added.
   *
   * @example
   * const count = () => metrics.count('locks lost')
   * locks.on('lost', count)
   * locks.off('lost', count)
   */
  off<E extends keyof NamedLockEvents>(event: E, listener: (...args: NamedLockEvents[E]) => void): this {
    this.#events.off(event, listener)
    return this
  }

  /**
   * Ends the service. Callers that wait get a NamedLockClosedError. Handles outside of scoped calls lose their locks at once, and their
   * signals are aborted. Leaders resign. Running work gets `closeTimeout` to finish before the same happens to it. Resolves when all locks are released and
   * all connections returned. A second call waits for the same end.
   *
   * @example
   * process.once('SIGTERM', async () => {
   *   await locks.close()
   *   await dataSource.destroy()
   * })
   */
  close(): Promise<void> {
    return this.#engine.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

recognisedAcrossCopies(NamedLockService, 'NamedLockService')

/** A service with other defaults, for the integration that creates it. They are no part of the service's `options`. */
export function serviceWithDefaults<DS extends DataSourceLike>(
  dataSource: DS,
  options: NamedLockServiceOptions,
  defaults: ServiceDefaults,
): NamedLockService<DS> {
  const Service = NamedLockService as new (...args: unknown[]) => NamedLockService<DS>
  return new Service(dataSource, options, defaults)
}

type AnyWork = (...args: any[]) => unknown

function optionsAndWork(call: string, first: unknown, second: unknown): [unknown, AnyWork] {
  if (second === undefined && typeof first === 'function') return [undefined, first as AnyWork]
  if (typeof second === 'function') return [first, second as AnyWork]
  throw new NamedLockConfigurationError(
    `${call}: the work must be a function; got ${show(second ?? first)}. Call ${call}(name, work) or ${call}(name, options, work).`,
  )
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}
