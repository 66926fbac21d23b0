import { Closing } from '../acquire/closing.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { Emitter } from '../observe/emitter.js'
import { NamedLockConfigurationError, NamedLockLostError, NamedLockTimeoutError } from '../contract/errors.js'
import { HeldLock, type LockOwner } from '../acquire/held-lock.js'
import { Inspector } from '../inspect/inspector.js'
import { currentScope, LockScope, runInScope, scopeHolding, transactionScope } from '../scope/lock-scope.js'
import type { LockNames, NamedLockServiceOptions, TryResult } from '../contract/options.js'
import { Claim, type ClaimOwner } from '../queue/claim.js'
import type { SessionSource } from '../session/session-source.js'
import type { Slots } from '../queue/slots.js'
import { migrationsLock, readMigrationOptions } from './run-migrations.js'
import { Reporter } from '../observe/reporter.js'
import type { RunnerLike } from '../typeorm/raw-connection.js'
import { servicesOf } from './service-registry.js'
import { Family } from './family.js'
import type { LockCore } from './lock-core.js'
import { DedicatedSource } from '../work/dedicated-source.js'
import { refuseOtherScheme } from '../typeorm/database-of.js'
import { FencingTable } from '../session/fencing-table.js'
import type { Sessions } from '../session/sessions.js'
import {
  defaultCall,
  readCallOptions,
  readServiceOptions,
  type CallName,
  type CallSettings,
  type Settings,
} from '../contract/settings.js'
import { Settling } from '../acquire/settling.js'
import { namesOf, Targets, type Target } from '../names/targets.js'
import { reentrancyRefused, refuseInsideTransaction, refuseUpgrade } from '../transaction/checks.js'
import { watchTransactions } from '../transaction/foreign-transactions.js'
import { Transactions, type TransactionsHost, type TransactionWork } from '../transaction/transactions.js'
import { timeoutError } from '../acquire/timeout-error.js'
import { callUnder, isTraced, traced, type AcquireTrace } from '../observe/tracing.js'
import { logEvents } from '../observe/typeorm-logger.js'
import { within } from '../util/within.js'
import { clearTimeout, monotonicNow, setTimeout } from '../util/clock.js'

type AnyWork = (lock: any) => unknown

/** How long a caller that does not want to wait for the lock waits for the database. */
const PATIENCE = 3_000

/** What a NamedLockService does: from the options of a call to claims in slots, from claims to handles and scopes. */
export class LockEngine {
  readonly #inspector: Inspector
  readonly #dataSource: DataSourceLike
  readonly #settings: Settings
  /** Shared with the other services of the DataSource that have the same session settings. */
  readonly #core: LockCore
  readonly #slots: Slots
  readonly #sessions: Sessions
  readonly #claimOwner: ClaimOwner
  readonly #targets: Targets
  readonly #settling: Settling
  readonly #events: Emitter
  readonly #reporter: Reporter
  readonly #transactions: Transactions
  readonly #stopWatching: () => void
  readonly #closing: Closing
  readonly #defaultCall: CallSettings
  readonly #defaultTry: CallSettings
  readonly #owner: LockOwner = {
    released: (claim) => {
      this.#reporter.released(claim)
      this.#closing.released()
    },
    whenClosing: (listener) => this.#closing.whenBegun(listener),
  }

  constructor(dataSource: DataSourceLike, options: NamedLockServiceOptions, events: Emitter) {
    const given = readServiceOptions(options)
    checkDataSource(dataSource)
    refuseOtherScheme(dataSource)
    const family = Family.of(dataSource)
    const settings = { ...given, namespace: given.namespace ?? servicesOf(dataSource).namespace }
    this.#dataSource = dataSource
    this.#settings = settings
    this.#events = events
    logEvents(dataSource, events)
    this.#reporter = new Reporter(events)
    const core = (this.#core = family.coreFor(settings))
    this.#slots = core.slots
    this.#sessions = core.sessions
    const { fencing, timeout } = settings
    const isClosing = (): boolean => this.isClosed
    const owner: ClaimOwner = {
      settings,
      listener: this.#reporter,
      fencing: fencing && new FencingTable(fencing.table, timeout, core.sessions),
      get isClosing() {
        return isClosing()
      },
    }
    this.#claimOwner = owner
    core.join(owner)
    this.#targets = new Targets(dataSource, settings, () => core.sessions.dialect)
    this.#closing = new Closing(core, owner)
    this.#settling = new Settling(this.#targets, this.#sessions, this.#closing, settings.lease)
    this.#inspector = new Inspector(
      this.#slots,
      this.#targets,
      owner,
      () => core.dialect.pool.size(dataSource),
      () => this.#settling.onShared(),
    )
    this.#defaultCall = defaultCall(settings.timeout)
    this.#defaultTry = defaultCall(0)
    this.#transactions = new Transactions(this.#transactionsHost())
    this.#stopWatching = settings.insideTransaction === 'allow' ? () => {} : watchTransactions(dataSource)
  }

  /** @throws NamedLockClosedError */
  get inspector(): Inspector {
    this.#closing.check()
    return this.#inspector
  }

  /** What the keys begin with. */
  get namespace(): string | false {
    return this.#targets.namespace
  }

  /** It is the option's, or that of other services of the DataSource. */
  get isNamespaceGiven(): boolean {
    return this.#settings.namespace !== undefined
  }

  get isClosed(): boolean {
    return this.#closing.hasBegun
  }

  readOptions(options: unknown, call: CallName): CallSettings {
    return readCallOptions(options, this.#defaultCall, call)
  }

  readTransactionOptions(options: unknown): CallSettings {
    return { ...readCallOptions(options, this.#defaultCall, 'transaction'), session: 'dedicated' }
  }

  readLockTransactionOptions(options: unknown): CallSettings {
    return readCallOptions(options, this.#defaultCall, 'lockTransaction')
  }

  readTryOptions(options: unknown, call: CallName): CallSettings {
    return readCallOptions(options, this.#defaultTry, call)
  }

  withLock(names: LockNames, call: CallSettings, work: AnyWork): Promise<unknown> {
    return this.#hold(names, call, work, (claim) => this.#timedOut(claim, call), same)
  }

  tryWithLock(names: LockNames, call: CallSettings, work: AnyWork): Promise<TryResult<unknown>> {
    const acquired = (value: unknown): TryResult<unknown> => ({ acquired: true, value })
    return this.#hold<TryResult<unknown>>(names, call, work, () => ({ acquired: false }), acquired)
  }

  transaction(names: LockNames, call: CallSettings, work: TransactionWork): Promise<unknown> {
    this.#closing.check()
    return this.#transactions.run(names, call, work)
  }

  async lockTransaction(manager: unknown, names: LockNames, call: CallSettings): Promise<void> {
    this.#closing.check()
    const lock = (): Promise<readonly string[]> => this.#transactions.lock(manager, names, call)
    await (isTraced()
      ? traced(this.#events.owner, names, call.timeout, lock, (keys, trace) => (trace.keys = keys))
      : lock())
  }

  async runMigrations(options: unknown): Promise<unknown> {
    const { lock, migrations } = readMigrationOptions(options)
    const call = this.readOptions(lock, 'runMigrations')
    const name = migrationsLock(this.#dataSource)
    const run = (): Promise<unknown[]> => this.#dataSource.runMigrations(migrations)
    // Beside the transaction that has the lock: they have connections and transactions of their own.
    return this.#isPooled ? this.transaction(name, call, run) : this.withLock(name, call, run)
  }

  /** The EntityManager of the `transaction` that the running code is in. */
  get manager(): unknown {
    const running = transactionScope(this.#dataSource)?.transaction
    return running?.isOurs ? running.manager : undefined
  }

  async acquire(names: LockNames, call: CallSettings): Promise<HeldLock> {
    const lock = await this.#obtain(names, call, false)
    return lock instanceof Claim ? this.#timedOut(lock, call) : lock
  }

  async tryAcquire(names: LockNames, call: CallSettings): Promise<HeldLock | null> {
    const lock = await this.#obtain(names, call, false)
    return lock instanceof Claim ? null : lock
  }

  close(): Promise<void> {
    this.#stopWatching()
    return this.#closing.begin()
  }

  /** The locks, or the claim whose time ran out. */
  #obtain(
    names: LockNames,
    call: CallSettings,
    isScoped: boolean,
    source = this.#sourceFor(call),
  ): Promise<HeldLock | Claim> {
    return isTraced()
      ? traced(
          this.#events.owner,
          names,
          call.timeout,
          () => this.#obtainNow(names, call, isScoped, source),
          recordLock,
        )
      : this.#obtainNow(names, call, isScoped, source)
  }

  #obtainNow(
    names: LockNames,
    call: CallSettings,
    isScoped: boolean,
    source: NewSource | undefined,
  ): Promise<HeldLock | Claim> {
    this.#closing.check()
    const around = currentScope()
    if (call.exactName || around || typeof names !== 'string' || !this.#targets.isSettled)
      return this.#obtainAll(names, call, isScoped, around, source)
    // By far the most calls: one name, outside of every scope. The same as below, without what they have no need of.
    const target = this.#targets.of(names, false, call.shared)
    call.signal?.throwIfAborted()
    if (isScoped) this.#guardTransaction(names)
    const scope = isScoped ? new LockScope(undefined, this.#dataSource, [target.exclusionKey]) : undefined
    const startedAt = monotonicNow()
    const lock = this.#claim(target, call, startedAt, source?.(), scope, scope, (claim) =>
      claim.state === 'held' ? new HeldLock([names], [claim], scope, this.#owner) : claim,
    )
    if (!source) return lock
    return lock.catch((error: unknown) => {
      if (!this.#isWorthAnotherTry(error, call, startedAt)) throw error
      return this.#obtainAll(names, call, isScoped, around, source, startedAt)
    })
  }

  async #obtainAll(
    names: LockNames,
    call: CallSettings,
    isScoped: boolean,
    around: LockScope | undefined,
    source: NewSource | undefined,
    startedAt = monotonicNow(),
  ): Promise<HeldLock | Claim> {
    // Before a connection may be waited for: the transaction around the call may have the last one of the pool.
    const isGuarded = isScoped && !around && !this.#targets.isSettled
    if (isGuarded) this.#guardTransaction(names)
    const targets = await this.#targetsOf(names, call)
    const keys = targets.map((target) => target.exclusionKey)
    const scope = isScoped ? new LockScope(around, this.#dataSource, keys) : undefined
    if (isScoped && !isGuarded && !keys.every((key) => around && scopeHolding(this.#dataSource, key)))
      this.#guardTransaction(names)
    const shared = around ? this.#heldAround(targets, call) : undefined
    for (;;) {
      // A source that has lost its connection is of no use any more.
      const claims = await this.#takeAll(targets, call, startedAt, source?.(), scope, scope ?? around, shared)
      if (Array.isArray(claims)) return new HeldLock(namesOf(names), claims, scope, this.#owner)
      if (claims !== LOST) return claims
    }
  }

  /**
   * The claims of all targets, in their order; the one whose time ran out; or LOST: a lock was lost before the last one was there. No work has
   * begun then, so nothing is wrong: the caller starts again, from the first name on, as the order of the names is the same everywhere.
   */
  async #takeAll(
    targets: readonly Target[],
    call: CallSettings,
    startedAt: number,
    source: SessionSource | undefined,
    scope: LockScope | undefined,
    waitsIn: LockScope | undefined,
    around: ReadonlyMap<string, Claim> | undefined,
  ): Promise<Claim[] | Claim | typeof LOST> {
    const claims: Claim[] = []
    if (scope) scope.hasLocks = false
    try {
      for (const target of targets) {
        this.#closing.check() // it may have been closed while the lock before was waited for
        const mine = around?.get(target.exclusionKey)
        const { claim, isGranted } = mine
          ? { claim: mine, isGranted: true }
          : await this.#claim(target, call, startedAt, source, scope, waitsIn, outcomeOf)
        // What was granted and is over by now was lost, or the service was closed: that is no timeout.
        if (!isGranted) {
          await giveBackInTime(claims)
          return claim
        }
        if (mine) mine.shares++
        claims.push(claim)
        if (scope) scope.hasLocks = true
      }
    } catch (error) {
      await giveBackInTime(claims)
      if (!this.#isWorthAnotherTry(error, call, startedAt)) throw error
      this.#refuseLost(claims, around)
      return LOST
    }
    // Also by the clock: the last answer may have come on another session, after a time in which nothing could run here.
    if (claims.every((claim) => claim.isHeld)) return claims
    await giveBackInTime(claims)
    this.#closing.check()
    this.#refuseLost(claims, around)
    return LOST
  }

  /** The connection of a call was lost before any work had begun, and there is time left. */
  #isWorthAnotherTry(error: unknown, call: CallSettings, startedAt: number): boolean {
    if (!(error instanceof NamedLockLostError) || this.isClosed) return false
    return monotonicNow() - startedAt < (call.timeout === 0 ? PATIENCE : call.timeout)
  }

  /** What the scope around the call has lost cannot be taken again by the call. */
  #refuseLost(claims: readonly Claim[], around: ReadonlyMap<string, Claim> | undefined): void {
    const lost = claims.find((claim) => around?.get(claim.target.exclusionKey) === claim && !claim.isHeld)
    if (lost) throw new NamedLockLostError(`The lock '${lost.name}' was lost while the others were waited for.`)
  }

  /** Resolves when the claim is held or its time has run out. */
  #claim<T>(
    target: Target,
    call: CallSettings,
    startedAt: number,
    source: SessionSource | undefined,
    scope: LockScope | undefined,
    waitsIn: LockScope | undefined,
    result: (claim: Claim) => T,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const isTry = call.timeout === 0
      const claim: Claim = new Claim(
        this.#claimOwner,
        // Readers with connections of their own share the lock by way of the server.
        target.isShared && source
          ? this.#slots.slotBeside(target.exclusionKey, target.literal, this.#claimOwner)
          : this.#slots.slotFor(target.exclusionKey, target.literal, this.#claimOwner),
        target,
        startedAt,
        startedAt + (isTry ? PATIENCE : call.timeout),
        isTry,
        source,
        scope,
        waitsIn,
        call.signal,
        (failure) => {
          this.#slots.settled(claim)
          if (failure === undefined) {
            this.#core.notes.wake()
            this.#reporter.acquired(claim)
          } else if (failure === 'timeout') this.#reporter.timedOut(claim)
          if (failure === undefined || failure === 'timeout') resolve(result(claim))
          else reject(failure)
        },
      )
      this.#slots.add(claim)
    })
  }

  /** Runs scoped work, and gives the lock back on every path. All in one function: promises are what a lock costs most here. */
  async #hold<T>(
    names: LockNames,
    call: CallSettings,
    work: AnyWork,
    onBusy: (claim: Claim) => T | Promise<T>,
    onDone: (value: unknown) => T,
  ): Promise<T> {
    const lock = await this.#obtain(names, call, true)
    if (lock instanceof Claim) return onBusy(lock)
    const scope = lock.scope as LockScope
    scope.lock = lock
    let result: unknown
    try {
      // Whoever traces wants the work inside of a span of its own.
      result = await (lock.trace
        ? callUnder(lock.trace, () => runInScope(scope, work, lock))
        : runInScope(scope, work, lock))
    } catch (error) {
      scope.open = false
      await lock.release()
      throw error
    }
    scope.open = false
    let { lostError } = lock
    await lock.release()
    lostError ??= lock.lostError ?? lock.foundLost // the first where it was in doubt until now
    if (lostError) throw lostError
    return onDone(result)
  }

  async #timedOut(claim: Claim, call: CallSettings): Promise<never> {
    throw await timeoutError(claim, call, this.#inspector.lookup, this.#sessions)
  }

  /** What the running scopes hold of these names already, by whichever service of the DataSource. */
  #heldAround(targets: readonly Target[], call: CallSettings): Map<string, Claim> | undefined {
    let held: Map<string, Claim> | undefined
    for (const { name, exclusionKey } of targets) {
      const scope = scopeHolding(this.#dataSource, exclusionKey)
      if (!scope) continue
      if (!call.reentrant) {
        throw reentrancyRefused(name)
      }
      const claim = claimIn(scope, exclusionKey)
      if (!claim?.isHeld) throw lostIn(scope, name)
      if (!call.shared) refuseUpgrade(claim.target)
      held ??= new Map()
      held.set(exclusionKey, claim)
    }
    return held
  }

  /** A lock of its own connection inside somebody else's transaction would be given back before the COMMIT. */
  #guardTransaction(names: LockNames): void {
    // typeorm-transactional puts its transaction's manager in the place of the DataSource's.
    const isInside = this.#dataSource.manager.queryRunner?.isTransactionActive || transactionScope(this.#dataSource)
    if (isInside) refuseInsideTransaction(names, this.#settings.insideTransaction)
  }

  /** Locks live and end with a transaction: the service is behind a pooler. */
  get #isPooled(): boolean {
    return this.#settings.pooling === 'transaction'
  }

  #sourceFor(call: CallSettings): NewSource | undefined {
    if (this.#isPooled) throw outlivesTransaction()
    return call.session === 'dedicated' ? () => new DedicatedSource(this.#dataSource, this.#sessions.work) : undefined
  }

  async #targetsOf(
    names: LockNames,
    call: CallSettings,
    runner?: () => Pick<RunnerLike, 'connect'>,
  ): Promise<readonly Target[]> {
    if (call.exactName && !this.#sessions.isDialectSure)
      await this.#inspector.inTime(this.#sessions.sureDialect(), call.timeout, call.signal)
    // Also where the server has to be asked: wrong names are refused before anything is sent.
    const targets = this.#targets.ofAll(names, call.exactName, call.shared)
    call.signal?.throwIfAborted()
    if (call.exactName || this.#targets.isSettled) return targets
    const isOnWork = !runner && !this.#isPooled && call.session === 'dedicated'
    const settled = runner
      ? this.#settling.onRunner(runner())
      : isOnWork
        ? this.#settling.onWork(call.signal)
        : this.#settling.onShared(call.signal)
    await within(settled, call.timeout || PATIENCE, undefined, () => {
      const { obstacle } = isOnWork ? this.#sessions.work : this.#sessions
      const why = obstacle ?? 'the database did not answer in that time'
      return new NamedLockTimeoutError(
        `Could not get the lock '${namesOf(names).join("', '")}' within ${call.timeout || PATIENCE} ms: ${why}.`,
      )
    })
    call.signal?.throwIfAborted()
    this.#closing.check()
    return this.#targets.ofAll(names, false, call.shared)
  }

  #transactionsHost(): TransactionsHost {
    const timeout = (claim: Claim, call: CallSettings): Promise<Error> =>
      timeoutError(claim, call, this.#inspector.lookup, this.#sessions)
    return {
      dataSource: this.#dataSource,
      sessions: this.#sessions,
      isPooled: this.#isPooled,
      lease: this.#settings.lease,
      targets: (names, call, runner) => this.#targetsOf(names, call, runner),
      obtain: (names, call, source) => this.#obtain(names, call, true, source),
      claimAround: ({ exclusionKey }) => {
        const scope = scopeHolding(this.#dataSource, exclusionKey)
        return scope && claimIn(scope, exclusionKey)
      },
      claim: (target, call, startedAt, source, scope, waitsIn) => {
        this.#closing.check()
        return this.#claim(target, call, startedAt, source, scope, waitsIn, same)
      },
      timeout,
      giveBack: giveBackInTime,
      sessionLost: (session, error) => this.#slots.sessionLost(session, error),
      owner: this.#owner,
    }
  }
}

function outlivesTransaction(): Error {
  return new NamedLockConfigurationError(
    "With pooling: 'transaction' only transaction(), lockTransaction(), runMigrations() and @WithNamedLock with transaction: true can take locks: " +
      'behind a pooler that pools transactions, a lock that outlives its transaction would be left on a connection that others use next. Use one of these; or a service ' +
      'on a DataSource that connects past the pooler.',
  )
}

const same = <T>(value: T): T => value

/** A call without the lock has a claim whose time ran out, and nothing to record. */
function recordLock(lock: HeldLock | Claim, trace: AcquireTrace): void {
  if (!(lock instanceof HeldLock)) return
  trace.lock = lock
  trace.keys = lock.keys
  lock.trace = trace
}

/** Makes the connection of a call, anew for each attempt. */
type NewSource = () => SessionSource

/** A lock was lost before the call had all of them. */
const LOST = Symbol('lost')

/** How long a caller whose call has failed waits for what it had taken to be given back, in milliseconds. */
const GRACE = 250

/** In a silent network the answer may take the rest of the lease: the caller does not wait for it, and what is being given back goes on. */
async function giveBackInTime(claims: readonly Claim[]): Promise<void> {
  if (claims.length === 0) return
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, GRACE)))
  await Promise.race([giveBack(claims), late])
  clearTimeout(timer)
}

/** As it is when it is settled: a moment later the lock may be lost. */
const outcomeOf = (claim: Claim): { claim: Claim; isGranted: boolean } => ({
  claim,
  isGranted: claim.state === 'held',
})

function claimIn(scope: LockScope, key: string): Claim | undefined {
  const lock = scope.lock as HeldLock | undefined
  const claim = lock?.claims.find(({ target }) => target.exclusionKey === key) ?? scope.transaction?.claimOf(key)
  return claim as Claim | undefined
}

function lostIn({ lock }: LockScope, name: string): Error {
  return (lock as HeldLock | undefined)?.lostError ?? new NamedLockLostError(`The lock '${name}' is not held any more.`)
}

async function giveBack(claims: readonly Claim[]): Promise<void> {
  for (const claim of [...claims].reverse()) {
    // What is lost by now must not be handed over: looking at it ends it.
    if (--claim.shares === 0 && claim.isHeld) await claim.slot.release(claim)
  }
}

function checkDataSource(dataSource: DataSourceLike | undefined | null): void {
  if (typeof dataSource?.createQueryRunner === 'function' && typeof dataSource.options === 'object') return
  throw new NamedLockConfigurationError(
    'NamedLockService needs a TypeORM DataSource: new NamedLockService(dataSource, options?).',
  )
}
