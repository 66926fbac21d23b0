import { databaseError } from '../contract/database-error.js'
import { NamedLockClosedError, NamedLockConfigurationError, NamedLockLostError } from '../contract/errors.js'
import type { PermitTargets } from '../names/permit-targets.js'
import type { Asker, Place, Request } from '../session/place.js'
import type { Sessions } from '../session/sessions.js'
import { outside } from '../util/outside.js'
import type { Claim, Failure } from './claim.js'
import type { PermitMarks } from './permit-marks.js'
import { Pauses } from './pauses.js'
import type { Turn } from './turn.js'

/** The most permits that one statement asks for on behalf of one claim: a statement of 1 000 would be long. */
export const MOST_AT_ONCE = 64

/** The semaphore, as its searches see it. */
export interface SearchedPermits {
  readonly targets: PermitTargets
  readonly marks: PermitMarks
  readonly turn: Turn
  /** What the database said when it could last not be asked. */
  trouble: unknown
  /** How many claims wait that have no connection of their own. */
  readonly sharedWaiters: number
  /** The claims that wait, in order. */
  readonly waiters: readonly Claim[]
  /** The permits below that number that this process does not have, and may ask for now, in a random order. */
  candidates(below: number): number[]
  /** Whether this process has all permits below that number. */
  hasAll(below: number): boolean
  /** A search is asking for one of the permits below that number: of those that are free, it takes one. */
  isAsked(below: number): boolean
  /** The server has granted that permit on `place`. */
  won(number: number, place: Place): void
  /** A claim has to wait: one that does not want to leaves. */
  keepWaiting(claim: Claim): void
  leave(claim: Claim, failure: Failure): void
  /** A search has come to an end. */
  rested(): void
}

/** Permits that one request asks for: the first that is free. */
class Group implements Asker {
  constructor(
    readonly numbers: readonly number[],
    readonly landed: (group: Group, answer: string | undefined, error: Error | undefined) => void,
  ) {}

  answered(_request: Request, answer: string | undefined, error: Error | undefined): void {
    this.landed(this, answer, error)
  }
}

/**
 * How a process finds free permits for its callers on the shared session.
 *
 * A *sweep* asks for every permit that this process does not have: as many groups of them at a time as callers wait, each group with one
 * request, which takes the first permit of its group that is free. No two requests under way ask for the same permit, nor for one that
 * the session has: on MySQL a session owns its locks re-entrantly, and would be granted it again. A sweep that has found nothing is
 * repeated after a pause, by one process for all of its callers. While this process has all permits that its callers may use, nothing
 * is asked: one of them is passed on here.
 */
export class PermitSearch {
  readonly #permits: SearchedPermits
  readonly #sessions: Sessions
  readonly #pauses = new Pauses(new Set())
  /** What the running sweep has still to ask for. */
  #untested: number[] = []
  /** The requests under way. */
  readonly #flying = new Set<Group>()
  /** The permits below this number are the running sweep's; 0 between sweeps. */
  #reach = 0
  /** The permits below this number were all busy at the last sweep. */
  #busyBelow = 0
  /** A pause between two sweeps, or one in which other processes get a chance: that one does not end early. */
  #pausing: 'between' | 'yielding' | undefined
  /** The server is being asked whether another process polls. */
  #isLooking = false
  /** Between two looks there is a sweep, however short a turn is: otherwise two processes could yield to each other forever. */
  #hasLooked = false
  /** How many sweeps in a row have found nothing. */
  #misses = 0

  constructor(permits: SearchedPermits, sessions: Sessions) {
    this.#permits = permits
    this.#sessions = sessions
  }

  get isBusy(): boolean {
    return this.#flying.size > 0 || this.#pausing !== undefined || this.#isLooking
  }

  /** The permits that are being asked for. */
  isAskedFor(number: number): boolean {
    for (const { numbers } of this.#flying) if (numbers.includes(number)) return true
    return false
  }

  isAsked(below: number): boolean {
    for (const { numbers } of this.#flying) if (numbers.some((number) => number < below)) return true
    return false
  }

  /** A claim has been queued. Returns false if it has to wait for the next sweep, or for a permit of this process. */
  add(claim: Claim): boolean {
    if (this.#pausing && claim.permits <= this.#busyBelow) return false
    if (this.#pausing === 'between') this.#pauses.end()
    else if (!this.#pausing) {
      if (this.#reach > 0 && claim.permits > this.#reach) this.#widen(claim.permits)
      this.#go()
    }
    return true
  }

  /** A permit may be free. */
  freed(): void {
    if (this.#pausing === 'between') this.#pauses.end()
    else this.#go()
  }

  /** A claim has left the queue. */
  left(): void {
    if (this.#permits.sharedWaiters > 0) return
    this.#pauses.end()
    this.#go()
  }

  #go(): void {
    if (this.#pausing || this.#isLooking) return
    if (this.#permits.sharedWaiters === 0) {
      this.#rest()
      return
    }
    if (this.#reach === 0) {
      const [first] = this.#waiting
      const { turn } = this.#permits
      if (!this.#hasLooked && turn.isOn && first && !first.isTry && turn.isOver(first)) {
        this.#look()
        return
      }
      this.#hasLooked = false
      if (this.#misses > 1) this.#permits.marks.take()
      this.#widen(Math.max(...this.#waiting.map(({ permits }) => permits)))
    }
    this.#ask()
    if (this.#flying.size === 0) this.#missed()
  }

  #widen(reach: number): void {
    const known = new Set(this.#untested)
    const more = this.#permits.candidates(reach)
    this.#untested.push(...more.filter((number) => number >= this.#reach && !known.has(number)))
    this.#reach = reach
  }

  /** Claims that may use different numbers of permits are served one by one: what is granted must suit one of them. */
  #ask(): void {
    const waiting = this.#waiting
    const most = Math.max(...waiting.map(({ permits }) => permits))
    if (most < this.#reach) {
      // The claims that could use more have left, or have got theirs: those permits are not looked at, and nothing is known of them.
      this.#untested = this.#untested.filter((number) => number < most)
      this.#reach = most
    }
    const wanted = waiting.every(({ permits }) => permits === most) ? waiting.length : 1
    for (let missing = wanted - this.#flying.size; missing > 0 && this.#untested.length > 0; missing--) {
      const size = Math.min(Math.ceil(this.#untested.length / missing), MOST_AT_ONCE)
      const numbers = this.#untested.splice(0, size)
      const group = new Group(numbers, this.#landed)
      const literals = numbers.map((number) => this.#permits.targets.at(number).literal).join(' ')
      this.#flying.add(group)
      this.#sessions.shared.ask(numbers.length === 1 ? 'take' : 'takeFirst', literals, group)
    }
  }

  readonly #landed = (group: Group, answer: string | undefined, error: Error | undefined): void => {
    this.#flying.delete(group)
    if (error) {
      this.#failed(error)
      return
    }
    const at = Number(answer) - 1
    if (at >= 0) {
      // The server has not looked at those behind it.
      this.#untested.unshift(...group.numbers.slice(at + 1))
      // Permits pass from process to process now: the next one is worth a poll soon.
      this.#pauses.restart()
      this.#permits.won(group.numbers[at] as number, this.#sessions.shared)
    }
    this.#go()
  }

  /** Everything was asked for, and callers still wait. */
  #missed(): void {
    const reach = this.#reach
    this.#reach = 0
    this.#permits.trouble = undefined
    this.#busyBelow = reach
    this.#permits.turn.end()
    for (const claim of this.#waiting) this.#permits.keepWaiting(claim)
    if (this.#permits.sharedWaiters === 0) this.#rest()
    else if (this.#permits.hasAll(reach)) {
      this.#misses = 0
      this.#permits.marks.give()
    } else this.#pause(false)
  }

  /** Callers that have waited go on waiting through a restart of the server; those that have just come get its error at once. */
  #failed(error: Error): void {
    this.#untested = []
    this.#reach = 0
    const isFinal = error instanceof NamedLockConfigurationError || error instanceof NamedLockClosedError
    const isNews = this.#busyBelow === 0 && !(error instanceof NamedLockLostError)
    this.#permits.trouble = error
    if (isFinal || isNews) {
      const failure = databaseError('The database refused the request for the lock', error)
      for (const claim of this.#waiting) this.#permits.leave(claim, failure)
    }
    if (this.#flying.size > 0) return
    if (this.#permits.sharedWaiters === 0) this.#rest()
    else this.#pause(true)
  }

  #pause(isFailed: boolean): void {
    if (this.#misses++ === 0) this.#pauses.restart()
    this.#sleep('between', () => this.#pauses.next(isFailed, false))
  }

  #sleep(why: 'between' | 'yielding', pause: () => Promise<void>): void {
    if (this.#pausing) return
    this.#pausing = why
    void outside(pause).then(() => {
      this.#pausing = undefined
      this.#go()
    })
  }

  /** The turn of this process is over: another process that polls gets a chance before this one asks again. */
  #look(): void {
    this.#isLooking = true
    this.#sessions.shared.ask('isFree', this.#permits.marks.ofOthers, {
      answered: (_request, answer) => {
        this.#isLooking = false
        this.#hasLooked = true
        this.#permits.turn.begin()
        if (answer !== '0' || this.#permits.sharedWaiters === 0) this.#go()
        else this.#sleep('yielding', () => this.#pauses.yieldToPollers())
      },
    })
  }

  /** No caller waits for a permit on the shared session. */
  #rest(): void {
    if (this.#flying.size > 0) return
    this.#untested = []
    this.#reach = this.#busyBelow = this.#misses = 0
    this.#permits.rested()
  }

  get #waiting(): readonly Claim[] {
    return this.#permits.waiters.filter((claim) => !claim.source)
  }
}
