import type { Acquirer } from '../acquire/acquirer.js'
import { HeldLock } from '../acquire/held-lock.js'
import type { OwningService } from '../acquire/owning-service.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import type { LockName } from '../contract/options.js'
import { defaultCall, type CallSettings } from '../contract/settings.js'
import type { Claim } from '../queue/claim.js'
import { currentScope, isWithin, runInScope, type LockScope } from '../scope/lock-scope.js'
import { LONGEST_TIMER, clearInterval, monotonicNow, setInterval } from '../util/clock.js'
import { GrowingPause } from '../util/growing-pause.js'
import { outside } from '../util/outside.js'
import type { TimeLimits } from '../util/time-limits.js'
import type { LeadSettings } from './lead-settings.js'
import type { LeaderWork, Leadership } from './leadership.js'
import { pause } from './pause.js'
import { Restarts } from './restarts.js'
import { Term } from './term.js'
import { asError, isAftermath, resigned, serviceClosed, workReturned } from './term-end.js'
import { warnOfFailure, warnOfTrouble } from './warnings.js'
import { WorkOfTerm } from './work-of-term.js'

/**
 * One leadership, from `lead` to its end: it asks for the lock, runs a term while the lock is held, and begins again.
 *
 * The rule: **never two terms at a time**. A term ends with its signal, but the lock is released, and the next campaign begins, only when
 * the work of the term has ended. Only after a resignation the wait for the work has a limit, as that of `close()`.
 */
export class Campaign implements Leadership {
  readonly name: string
  /** Resolves when nothing of it goes on. */
  readonly over: Promise<void>
  readonly #lockName: LockName
  readonly #acquirer: Acquirer
  readonly #owner: OwningService
  readonly #limits: () => TimeLimits | undefined
  readonly #work: LeaderWork
  readonly #call: CallSettings
  /** Undefined: one term only. */
  readonly #restarts: Restarts | undefined
  /** The pauses while the database does not answer. */
  readonly #retries = new GrowingPause()
  /** Aborted when the leadership ends. */
  readonly #ending = new AbortController()
  readonly #ended: Promise<void>
  #isEndedUsed = false
  /** The message of the last failure to get the lock; empty after an election. */
  #trouble = ''
  #term: Term | undefined
  #scope: LockScope | undefined
  /** What the work threw, with `restart: false`. */
  #failure: { readonly error: unknown } | undefined

  constructor(
    lockName: LockName,
    settings: LeadSettings,
    work: LeaderWork,
    acquirer: Acquirer,
    owner: OwningService,
    limits: () => TimeLimits | undefined,
  ) {
    this.name = String(lockName)
    this.#lockName = lockName
    this.#acquirer = acquirer
    this.#owner = owner
    this.#limits = limits
    this.#work = work
    this.#restarts = settings.restart === undefined ? undefined : new Restarts(settings.restart)
    this.#call = { ...defaultCall(Infinity, 'awaited'), signal: this.#ending.signal, isPatient: true }
    this.over = settings.signal?.aborted ? Promise.resolve() : outside(() => this.#run(settings.signal))
    this.#ended = this.over.then(() => {
      if (this.#failure) throw this.#failure.error
    })
    this.#ended.catch(() => {})
  }

  get isLeader(): boolean {
    return this.#term?.isLeader === true
  }

  get ended(): Promise<void> {
    this.#isEndedUsed = true
    return this.#ended
  }

  resign(): Promise<void> {
    this.#end(resigned(this.name))
    const around = currentScope()
    // The work cannot wait for its own end.
    const isInWork = around !== undefined && this.#scope !== undefined && isWithin(around, this.#scope)
    return isInWork ? Promise.resolve() : this.over
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.resign()
  }

  #end(reason: Error): void {
    this.#ending.abort(reason) // once: a second reason changes nothing
    this.#term?.end(reason, 'resignation')
  }

  get #isOver(): boolean {
    return this.#ending.signal.aborted
  }

  /** Until the leadership ends. A timer keeps the process alive meanwhile, as a server that listens does. */
  async #run(signal: AbortSignal | undefined): Promise<void> {
    const alive = setInterval(() => {}, LONGEST_TIMER)
    const abort = (): void => this.#end(asError(signal?.reason, this.name))
    signal?.addEventListener('abort', abort)
    const forget = this.#owner.whenClosing(() => this.#end(serviceClosed(this.name)))
    try {
      while (!this.#isOver) {
        const lock = await this.#elected()
        const next = lock && (await this.#lead(lock))
        if (lock && next === undefined) return
        if (next !== undefined && next > 0) await pause(next, this.#ending.signal, this.#limits())
      }
    } finally {
      clearInterval(alive)
      signal?.removeEventListener('abort', abort)
      forget()
    }
  }

  /** Campaigns once. Resolves to undefined when the leadership has ended, and after a pause when the lock could not be asked for. */
  async #elected(): Promise<HeldLock | undefined> {
    try {
      const lock = await this.#acquirer.obtainForTerm(this.#lockName, this.#call)
      if (lock instanceof HeldLock) return lock
    } catch (error) {
      // `close()` refuses calls a moment before it notifies.
      if (this.#owner.isClosing) this.#end(serviceClosed(this.name))
      if (!this.#isOver) await this.#tryLater(error as Error)
    }
    return undefined
  }

  async #tryLater(error: Error): Promise<void> {
    if (this.#trouble !== error.message) warnOfTrouble(this.name, error)
    this.#trouble = error.message
    // What is wrong with the set-up does not pass soon.
    const isSetUp = error instanceof NamedLockConfigurationError
    await pause(isSetUp ? LATER : this.#retries.next(), this.#ending.signal, undefined)
  }

  /** Runs one term. Resolves when it is over, to the pause until the next campaign; undefined: there is none. */
  async #lead(lock: HeldLock): Promise<number | undefined> {
    this.#trouble = ''
    this.#retries.reset()
    if (!lock.isHeld) await lock.whenCertain()
    // A lock that came too late, or is lost already, is no election.
    if (this.#isOver || !lock.isHeld) return this.#giveBack(lock)
    const claim = lock.claims[0] as Claim
    const { listener } = this.#owner
    const scope = (this.#scope = lock.scope as LockScope)
    const from = monotonicNow()
    const term = (this.#term = new Term(this.name, lock, (...end) => listener.revoked(claim, term, ...end)))
    scope.begin(lock)
    lock.beginTerm()
    listener.elected(claim, term)
    const work = new WorkOfTerm(term, this.#owner.settings.closeTimeout, this.#ending.signal)
    // A listener may have ended the term: work that waits for the abort of its signal would wait forever.
    const result = term.signal.aborted ? {} : await work.run(() => runInScope(scope, this.#work, term))
    const isLost = term.signal.aborted && !this.#isOver
    const failure = result && 'error' in result && !isAftermath(result.error, term.signal) ? result : undefined
    scope.end()
    if (failure) term.end(asError(failure.error, this.name), 'failure')
    else term.end(workReturned(this.name), 'return')
    this.#term = this.#scope = undefined
    lock.endTerm()
    await lock.release()
    return this.#pauseAfter(result, failure, isLost, monotonicNow() - from)
  }

  async #giveBack(lock: HeldLock): Promise<number> {
    lock.scope?.end()
    await lock.release()
    return 0
  }

  #pauseAfter(
    result: { readonly error?: unknown } | undefined,
    failure: { readonly error?: unknown } | undefined,
    isLost: boolean,
    ledFor: number,
  ): number | undefined {
    const next = !this.#restarts
      ? undefined
      : failure
        ? this.#restarts.afterFailure(ledFor)
        : this.#restarts.afterSuccess()
    if (!this.#restarts && !this.#isOver && result && 'error' in result) this.#failure = { error: result.error }
    if (failure && !(this.#failure && this.#isEndedUsed))
      warnOfFailure(this.name, failure.error, this.#isOver ? undefined : next)
    // What ended the term was no decision of the work: the next campaign begins at once.
    return next !== undefined && isLost && !failure ? 0 : next
  }
}

/** The pause after an error in the set-up, in milliseconds. */
const LATER = 30_000
