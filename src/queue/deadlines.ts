import type { Sessions } from '../session/sessions.js'
import { LONGEST_TIMER, clearTimeout, monotonicNow, setTimeout } from '../util/clock.js'
import { outside } from '../util/outside.js'
import type { TimeLimits } from '../util/time-limits.js'
import type { Claim } from './claim.js'

/** How long the timer may outlive the waits that it was set for, in milliseconds. */
const SOON = 60_000

/**
 * When waits end because their time is up. One timer serves all waits, exact to the millisecond, whatever the server rounds. It is
 * set for the earliest deadline, and left alone when that wait ends early: set and cleared for each lock, it would cost every
 * uncontended lock its time.
 *
 * Where callers' times go by another clock (locks in memory), that clock ends the waits.
 */
export class Deadlines {
  /** All queued claims. */
  readonly #waiters: () => Iterable<Claim>
  readonly #sessions: Pick<Sessions, 'obstacle'>
  /** In the place of the timer, where callers' times go by another clock. */
  readonly #limits: TimeLimits | undefined
  #timer: NodeJS.Timeout | undefined
  /** What the timer is set for; Infinity while it is not set. */
  #next = Infinity

  constructor(waiters: () => Iterable<Claim>, sessions: Pick<Sessions, 'dialect' | 'obstacle'>) {
    this.#waiters = waiters
    this.#sessions = sessions
    this.#limits = sessions.dialect.timeLimits
  }

  /** A claim is queued. */
  watch(claim: Claim): void {
    if (this.#limits) this.#limit(claim, this.#limits)
    else if (claim.deadline < this.#next) this.#set(claim.deadline)
  }

  /** The claim is granted or has failed. */
  unwatch(claim: Claim): void {
    this.#limits?.end(claim)
  }

  /** No caller is queued. A timer that is due soon stays for the next caller. */
  rest(): void {
    if (this.#next > monotonicNow() + SOON) this.stop()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#next = Infinity
  }

  #limit(claim: Claim, limits: TimeLimits): void {
    if (claim.isTry) return // what keeps such a caller waiting is a server
    const { startedAt, deadline } = claim
    limits.begin(claim, deadline - startedAt, monotonicNow() - startedAt, () => claim.slot.leave(claim, 'timeout'))
  }

  #set(deadline: number): void {
    this.#next = deadline
    clearTimeout(this.#timer)
    const delay = Math.min(Math.max(0, Math.ceil(deadline - monotonicNow())), LONGEST_TIMER)
    this.#timer = outside(() => setTimeout(() => this.#expire(), delay))
    // A slot that waits has a connection or a timer of its own that keeps the process alive.
    this.#timer.unref()
  }

  /** Timers may fire a millisecond early: a wait that is not due yet stays, and the timer is set again. */
  #expire(): void {
    const now = monotonicNow()
    let next = Infinity
    for (const claim of this.#waiters()) {
      if (claim.deadline <= now)
        claim.slot.leave(claim, claim.isTry ? claim.owner.unanswered(claim, this.#sessions.obstacle) : 'timeout')
      else if (claim.state === 'queued' && claim.deadline < next) next = claim.deadline
    }
    this.#next = Infinity
    if (next < Infinity) this.#set(next)
  }
}
