import { Acquirer } from '../acquire/acquirer.js'
import { CallTargets } from '../acquire/call-targets.js'
import { Closing } from '../acquire/closing.js'
import type { HeldLock } from '../acquire/held-lock.js'
import { OwningService } from '../acquire/owning-service.js'
import { Settling } from '../acquire/settling.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import type { LockName, LockNames, NamedLockServiceOptions, TryResult } from '../contract/options.js'
import {
  defaultCall,
  readCallOptions,
  readServiceOptions,
  type CallSettings,
  type ServiceDefaults,
  type Settings,
} from '../contract/settings.js'
import { Inspector } from '../inspect/inspector.js'
import { Leads } from '../lead/leads.js'
import type { LeaderWork, Leadership } from '../lead/leadership.js'
import { Targets } from '../names/targets.js'
import { Once, type DoneByHand } from '../once/once.js'
import type { OnceResult } from '../once/once-options.js'
import type { Emitter } from '../observe/emitter.js'
import { Reporter } from '../observe/reporter.js'
import { callUnder, isTraced, traced } from '../observe/tracing.js'
import { logEvents } from '../observe/typeorm-logger.js'
import { Claim } from '../queue/claim.js'
import { runInScope, scopeOutside, transactionScope, type LockScope } from '../scope/lock-scope.js'
import { FencingTable } from '../session/fencing-table.js'
import { watchTransactions } from '../transaction/foreign-transactions.js'
import { watchStatements } from '../transaction/statement-watch.js'
import { RunningTransactions } from '../transaction/running-transactions.js'
import { TransactionLocker } from '../transaction/transaction-locker.js'
import { Transactions, type TransactionWork } from '../transaction/transactions.js'
import { applicationOf, type DataSourceLike } from '../typeorm/data-source-like.js'
import { refuseOtherScheme } from '../typeorm/database-of.js'
import { Family } from './family.js'
import { Migrations, migrationsLock, readMigrationOptions } from './run-migrations.js'
import { servicesOf } from './service-registry.js'

type AnyWork = (lock: any) => unknown

/** Puts a service together, reads the options of its calls, and runs scoped work under their locks. */
export class LockEngine {
  /** The namespace is the option's, or that of other services of the DataSource. */
  readonly isNamespaceGiven: boolean
  readonly #dataSource: DataSourceLike
  readonly #owner: OwningService
  readonly #targets: Targets
  readonly #inspector: Inspector
  readonly #acquirer: Acquirer
  readonly #transactions: Transactions
  readonly #locker: TransactionLocker
  readonly #migrations: Migrations
  readonly #once: Once
  readonly #leads: Leads
  readonly #closing: Closing
  readonly #stopWatching: () => void
  readonly #defaultCall: CallSettings
  readonly #defaultTry: CallSettings
  /** Of calls whose locks end with a transaction. */
  readonly #transactionCall: CallSettings
  #closed: Promise<void> | undefined

  constructor(
    dataSource: DataSourceLike,
    options: NamedLockServiceOptions,
    defaults: ServiceDefaults,
    events: Emitter,
  ) {
    const given = readServiceOptions(options, defaults)
    checkDataSource(dataSource)
    refuseOtherScheme(dataSource)
    const family = Family.of(dataSource)
    const settings = { ...given, namespace: given.namespace ?? servicesOf(dataSource).namespace }
    const { fencing, timeout, release } = settings
    logEvents(dataSource, events)
    const core = family.coreFor(settings)
    const { sessions, slots } = core
    const table = fencing && new FencingTable(fencing.table, timeout, sessions)
    const owner = new OwningService(settings, new Reporter(events), table, events.owner)
    core.join(owner)
    const targets = new Targets(dataSource, settings, () => sessions.dialect)
    const settling = new Settling(targets, sessions, owner)
    const inspector = new Inspector(
      slots,
      targets,
      owner,
      () => core.dialect.pool.size(dataSource),
      () => settling.onShared(),
    )
    const callTargets = new CallTargets(targets, settling, sessions, inspector, owner)
    const acquirer = new Acquirer(dataSource, core, owner, callTargets, inspector.lookup)
    const running = new RunningTransactions(dataSource, sessions)
    this.isNamespaceGiven = settings.namespace !== undefined
    this.#dataSource = dataSource
    this.#owner = owner
    this.#targets = targets
    this.#inspector = inspector
    this.#acquirer = acquirer
    this.#transactions = new Transactions(dataSource, core, owner, callTargets, acquirer, running)
    this.#migrations = new Migrations(dataSource, sessions, callTargets, acquirer)
    this.#once = new Once(dataSource, sessions, owner, callTargets, this.#transactions)
    this.#locker = new TransactionLocker(dataSource, core, owner, callTargets, acquirer, running)
    this.#leads = new Leads(acquirer, owner, () => sessions.dialect.timeLimits)
    this.#closing = new Closing(core, owner)
    this.#defaultCall = defaultCall(timeout, release)
    this.#defaultTry = defaultCall(0, release)
    this.#transactionCall = defaultCall(timeout, 'awaited')
    this.#stopWatching = watch(dataSource, settings)
  }

  /** @throws NamedLockClosedError */
  get inspector(): Inspector {
    this.#owner.checkOpen()
    return this.#inspector
  }

  /** The beginning of the service's keys. */
  get namespace(): string | false {
    return this.#targets.namespace
  }

  get isClosed(): boolean {
    return this.#owner.isClosing
  }

  /** The EntityManager of the `transaction` that the running code is in. */
  get manager(): unknown {
    const running = transactionScope(this.#dataSource)?.transaction
    return running?.isOurs ? running.manager : undefined
  }

  /** Runs work that takes no part in the transactions around it. */
  outside<T>(work: () => T): T {
    return runInScope(scopeOutside(this.#dataSource), work)
  }

  withLock(names: LockNames, options: unknown, work: AnyWork): Promise<unknown> {
    return this.#withLock(names, readCallOptions(options, this.#defaultCall, 'withLock'), work)
  }

  tryWithLock(names: LockNames, options: unknown, work: AnyWork): Promise<TryResult<unknown>> {
    const call = readCallOptions(options, this.#defaultTry, 'tryWithLock')
    const acquired = (value: unknown): TryResult<unknown> => ({ acquired: true, value })
    return this.#hold<TryResult<unknown>>(names, call, work, () => ({ acquired: false }), acquired)
  }

  async acquire(names: LockNames, options: unknown): Promise<HeldLock> {
    const call = readCallOptions(options, this.#defaultCall, 'acquire')
    const lock = await this.#acquirer.obtain(names, call, false)
    return lock instanceof Claim ? this.#timedOut(lock) : lock
  }

  async tryAcquire(names: LockNames, options: unknown): Promise<HeldLock | null> {
    const call = readCallOptions(options, this.#defaultTry, 'tryAcquire')
    const lock = await this.#acquirer.obtain(names, call, false)
    return lock instanceof Claim ? null : lock
  }

  transaction(names: LockNames, options: unknown, work: TransactionWork): Promise<unknown> {
    const call: CallSettings = {
      ...readCallOptions(options, this.#transactionCall, 'transaction'),
      session: 'dedicated',
    }
    this.#owner.checkOpen()
    return this.#transactions.run(names, call, work)
  }

  async lockTransaction(manager: unknown, names: LockNames, options: unknown): Promise<void> {
    const call = readCallOptions(options, this.#transactionCall, 'lockTransaction')
    this.#owner.checkOpen()
    const lock = (): Promise<readonly string[]> => this.#locker.lock(manager, names, call)
    await (isTraced()
      ? traced(this.#owner.service, names, call.timeout, lock, (keys, trace) => (trace.keys = keys))
      : lock())
  }

  /** What is done by work that is in no transaction. */
  get done(): DoneByHand {
    this.#owner.checkOpen()
    return this.#once.byHand(this.#transactionCall)
  }

  runOnce(name: LockName, options: unknown, work: TransactionWork): Promise<OnceResult<unknown>> {
    return this.#once.run(name, options, this.#transactionCall, work)
  }

  forget(name: LockName, options: unknown): Promise<boolean> {
    return this.#once.forget(name, options, this.#transactionCall)
  }

  forgetDone(options: unknown): Promise<number> {
    return this.#once.purge(options, this.#transactionCall)
  }

  async runMigrations(options: unknown): Promise<unknown> {
    const { lock, migrations } = readMigrationOptions(options)
    const call = readCallOptions(lock, this.#transactionCall, 'runMigrations')
    this.#owner.checkOpen()
    if (!this.#owner.isPooled) return this.#migrations.run(call, migrations)
    // Behind a pooler the migrations run beside the transaction that holds the lock, on connections and in transactions of their own.
    const run = (): Promise<unknown[]> => this.#dataSource.runMigrations(migrations)
    return this.#transactions.run(migrationsLock(this.#dataSource), call, () => this.outside(run))
  }

  lead(name: LockName, options: unknown, work: LeaderWork): Leadership {
    return this.#leads.begin(name, options, work)
  }

  close(): Promise<void> {
    // Watched to the end: work that still runs must not send its last statements elsewhere.
    return (this.#closed ??= this.#close().finally(this.#stopWatching))
  }

  async #close(): Promise<void> {
    await this.#closing.begin()
    await this.#leads.over()
    this.#targets.close()
  }

  #withLock(names: LockNames, call: CallSettings, work: AnyWork): Promise<unknown> {
    return this.#hold(names, call, work, this.#timedOut, same)
  }

  /** Runs scoped work, and releases the lock on every path. All in one function: promises are what a lock costs most here. */
  async #hold<T>(
    names: LockNames,
    call: CallSettings,
    work: AnyWork,
    onBusy: (claim: Claim) => T | Promise<T>,
    onDone: (value: unknown) => T,
  ): Promise<T> {
    const lock = await this.#acquirer.obtain(names, call, true)
    if (lock instanceof Claim) return onBusy(lock)
    const scope = lock.scope as LockScope
    scope.begin(lock)
    let result: unknown
    try {
      // A subscriber of the trace may want the work inside a span of its own.
      result = lock.trace ? callUnder(lock.trace, () => runInScope(scope, work, lock)) : runInScope(scope, work, lock)
      if (isThenable(result)) result = await result // to await a plain value would cost two promises
    } catch (error) {
      scope.end()
      await lock.release()
      throw error
    }
    scope.end()
    let { lostError } = lock
    await lock.release()
    lostError ??= lock.lostError ?? lock.foundLost // in doubt until now, or found by the release
    if (lostError) throw lostError
    return onDone(result)
  }

  readonly #timedOut = async (claim: Claim): Promise<never> => {
    throw await this.#acquirer.timeoutError(claim)
  }
}

const same = <T>(value: T): T => value

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}

/** Watches what the application sends inside transactions, as far as the settings react to it. The result stops. */
function watch(dataSource: DataSourceLike, settings: Settings): () => void {
  const { insideTransaction, ambientTransactions, outsideTransaction } = settings
  const application = applicationOf(dataSource)
  const stops: (() => void)[] = []
  if (insideTransaction !== 'allow' || ambientTransactions) stops.push(watchTransactions(application, dataSource))
  if (ambientTransactions || outsideTransaction !== 'allow') stops.push(watchStatements(application, dataSource))
  return () => {
    for (const stop of stops) stop()
  }
}

function checkDataSource(dataSource: DataSourceLike | undefined | null): void {
  if (typeof dataSource?.createQueryRunner === 'function' && typeof dataSource.options === 'object') return
  throw new NamedLockConfigurationError(
    'NamedLockService needs a TypeORM DataSource: new NamedLockService(dataSource, options?).',
  )
}
