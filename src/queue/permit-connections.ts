import { databaseError } from '../contract/database-error.js'
import { NamedLockClosedError, NamedLockConfigurationError, NamedLockLostError } from '../contract/errors.js'
import { DirectPlace } from '../session/direct-place.js'
import { ask } from '../session/place.js'
import type { SessionSource } from '../session/session-source.js'
import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'
import { outside } from '../util/outside.js'
import type { Claim } from './claim.js'
import { Pauses } from './pauses.js'
import { MOST_AT_ONCE, type SearchedPermits } from './permit-search.js'

type Outcome = 'won' | 'gone' | 'busy' | 'failed'

/**
 * How claims with a connection of their own (dedicated, a transaction) find free permits: the first of them is served, then the next. While
 * the permits of one are busy, those behind it are served that may use more.
 *
 * Such a claim waits without a connection. Its permit is asked for on a connection of its own at once, as long as no permit is known to
 * be busy; after that the process first asks on the shared session whether one is free.
 */
export class PermitConnections {
  readonly #permits: SearchedPermits
  readonly #sessions: Sessions
  readonly #pauses = new Pauses(new Set())
  /** Permits that were released for the claim that is first: only it asks for them, until it has tried. */
  readonly #reserved = new Set<number>()
  #isRunning = false
  /** In this round, the permits below that number were found busy. 0 at the beginning of a round. */
  #busyBelow = 0
  /** A permit was released since the last try began. */
  #isNews = false
  /** The claim that is being served; while its connection is waited for, with what ends that wait. */
  #served: Claim | undefined
  #stopWaiting: (() => void) | undefined

  constructor(permits: SearchedPermits, sessions: Sessions) {
    this.#permits = permits
    this.#sessions = sessions
  }

  get isBusy(): boolean {
    return this.#isRunning
  }

  isReserved(number: number): boolean {
    return this.#reserved.has(number)
  }

  /** A claim has been queued. */
  start(): void {
    if (this.#isRunning) return
    this.#isRunning = true
    void outside(() => this.#run())
  }

  /** That permit is free, and for the first claim. */
  freed(number: number): void {
    this.#reserved.add(number)
    this.#isNews = true
    this.#pauses.end()
    this.start()
  }

  left(claim: Claim): void {
    if (this.#served === claim) this.#stopWaiting?.()
    this.#pauses.end()
  }

  async #run(): Promise<void> {
    let misses = 0
    this.#pauses.restart()
    for (let claim = this.#first; claim; claim = this.#first) {
      this.#served = claim
      this.#isNews = false
      const outcome = await this.#try(claim, claim.source as SessionSource, misses).catch((error: unknown) =>
        this.#failed(error, misses > 0),
      )
      this.#served = undefined
      if (!this.#isNews) this.#reserved.clear()
      if (outcome !== 'failed') this.#permits.trouble = undefined
      if (outcome === 'won') misses = 0
      else if (outcome !== 'gone') misses++
      if (outcome === 'failed' || this.#isNews) this.#busyBelow = 0
      else if (outcome === 'busy') this.#busyBelow = claim.permits
      if (outcome === 'failed' || (this.#busyBelow > 0 && !this.#first)) {
        this.#busyBelow = 0
        if (this.#first && !this.#isNews) await this.#pauses.next(outcome === 'failed', false)
      }
    }
    // One may have been released for a claim that has left, or has got another.
    this.#reserved.clear()
    this.#isRunning = false
    this.#permits.rested()
  }

  /** The first claim that has not been served in this round for nothing. */
  get #first(): Claim | undefined {
    return this.#permits.waiters.find((claim) => claim.source && claim.permits > this.#busyBelow)
  }

  async #try(claim: Claim, source: SessionSource, misses: number): Promise<Outcome> {
    const { permits } = claim
    let numbers = this.#numbers(permits)
    if (numbers.length === 0) return this.#isBusy(claim)
    const isWaiting = misses > 0 || claim.hasWaited
    // To look first costs a round trip more than other processes need, which might always be faster then.
    const atOnce = isWaiting && !this.#sessions.work.hasPoolWaiters ? source.openAtOnce() : undefined
    const isReserved = [...this.#reserved].some((number) => number < permits)
    // But no connection is waited for only to see that all are busy.
    if (!atOnce && !isReserved && (isWaiting || this.#sessions.work.isOpening)) {
      const free = await this.#look(numbers)
      if (free === undefined) {
        this.#mark()
        return this.#isBusy(claim)
      }
      numbers = [free]
    }
    if (!isQueued(claim)) {
      if (atOnce) void source.close(atOnce)
      return 'gone'
    }
    const session = atOnce ?? (await this.#open(claim, source))
    if (!session) return 'gone'
    const place = new DirectPlace(session, source)
    try {
      while (numbers.length > 0 && isQueued(claim)) {
        const some = numbers.splice(0, MOST_AT_ONCE)
        const literals = some.map((number) => this.#permits.targets.at(number).literal).join(' ')
        const at = Number(await ask(place, some.length === 1 ? 'take' : 'takeFirst', literals)) - 1
        if (at < 0) continue
        this.#permits.won(some[at] as number, place)
        return 'won'
      }
    } catch (error) {
      session.lose(error) // it may have the permit
      void source.close(session)
      throw error
    }
    void source.close(session)
    if (!isQueued(claim)) return 'gone'
    if (isWaiting) this.#mark()
    return this.#isBusy(claim)
  }

  #isBusy(claim: Claim): Outcome {
    for (const other of this.#permits.waiters) {
      // What a search of this process asks for is not offered here, and may be free all the same.
      if (other.source && other.permits <= claim.permits && !this.#permits.isAsked(other.permits))
        this.#permits.keepWaiting(other)
    }
    return 'busy'
  }

  /** Those that this process may ask for, the reserved ones first. */
  #numbers(below: number): number[] {
    const reserved = [...this.#reserved].filter((number) => number < below)
    return [...reserved, ...this.#permits.candidates(below)]
  }

  /** Asks on the shared session whether one of them is free. */
  async #look(numbers: readonly number[]): Promise<number | undefined> {
    const { shared } = this.#sessions
    for (let from = 0; from < numbers.length; from += MOST_AT_ONCE) {
      const some = numbers.slice(from, from + MOST_AT_ONCE)
      const answers = await Promise.all(
        some.map((number) => ask(shared, 'isFree', this.#permits.targets.at(number).literal)),
      )
      const at = answers.indexOf('1')
      if (at >= 0) return some[at]
    }
    return undefined
  }

  /** A mark keeps the shared session's connection: not while a caller, maybe a holder, waits for a connection of the pool. */
  #mark(): void {
    const { work, shared } = this.#sessions
    if (work.hasPoolWaiters) this.#permits.marks.give()
    else if (shared.session) this.#permits.marks.take()
  }

  /** The claim's connection; undefined when the claim leaves before it has come. */
  async #open(claim: Claim, source: SessionSource): Promise<Session | undefined> {
    const atOnce = source.openAtOnce()
    if (atOnce) return atOnce
    const opening = source.open()
    const left = new Promise<undefined>((resolve) => (this.#stopWaiting = () => resolve(undefined)))
    const session = await Promise.race([opening, left]).catch((error: unknown) => {
      this.#permits.leave(claim, error as Error)
    })
    this.#stopWaiting = undefined
    if (session && isQueued(claim)) return session
    opening.then((late) => source.close(late)).catch(() => {})
    return undefined
  }

  #failed(error: unknown, isKnownBusy: boolean): Outcome {
    const isFinal = error instanceof NamedLockConfigurationError || error instanceof NamedLockClosedError
    const isNews = !isKnownBusy && !(error instanceof NamedLockLostError)
    if (isFinal || isNews) {
      const failure = databaseError('The database could not be asked for the lock', error)
      for (const claim of this.#permits.waiters) if (claim.source) this.#permits.leave(claim, failure)
    }
    this.#permits.trouble = error
    return 'failed'
  }
}

/** Asked again after a wait: the claim may have left meanwhile. */
function isQueued(claim: Claim): boolean {
  return claim.state === 'queued'
}
