import { LONGEST_TIMER, monotonicNow, suspendedSoFar, wallNow } from '../util/clock.js'

/** The times that keep a session's locks, in milliseconds. */
export interface LeaseTimes {
  /** How long the server keeps the locks of a session without a sign of life. */
  readonly lease: number
  /** How long a session may be without one until the library asks for it. */
  readonly keepAlive: number
}

/** A moment by two clocks: the wall clock goes on while the machine sleeps. */
export interface Moment {
  readonly monotonic: number
  readonly wall: number
}

export function thisMoment(): Moment {
  return { monotonic: monotonicNow(), wall: wallNow() }
}

/** How long it has been since then, by the clock that says more. */
export function timeSince({ monotonic, wall }: Moment): number {
  return Math.max(monotonicNow() - monotonic, wallNow() - wall)
}

/** `doubtful`: one clock says that the lease is over, and the others do not confirm it. */
export type LeaseState = 'certain' | 'doubtful' | 'over'

/**
 * The clock of a session's lease: the server keeps the session's locks for so long after the last sign of life. The deadline is
 * counted from when the last *answered* statement was *sent*, so it is never later than the server's, however slow the answer was.
 *
 * Three clocks are compared, because each is wrong at times. The monotonic clock may stand still while the machine is suspended.
 * The wall clock goes on then, but it is also set (by NTP, by an operator). So when the wall clock alone says that the lease is
 * over, the clock that counts from the start of the system decides: it confirms a suspension, and the lease is over. Where it
 * does not (the date was set, or all clocks of a virtual machine stood still), the lease is *doubtful*, and the session begins an
 * *inquiry*: it asks the server on its own connection. An answer proves that the server has kept the session and with it the locks.
 *
 * This class only compares clocks. What follows from the comparison is the session's decision.
 */
export class Lease {
  readonly #duration: number
  readonly #keepAlive: number
  /** When the last answered statement was sent. Written by `renew` alone; the time of its answer would be too late. */
  #aliveAt: number
  #aliveAtWall: number
  /**
   * What `suspendedSoFar` was at a time when the lease was certain; written when the session opens, and by `noteSuspensions`. An older value
   * would count a suspension that the session has survived.
   */
  #suspendedBefore = suspendedSoFar()
  /** Undefined while there is no doubt. Written by `beginInquiry` and `endInquiry`. */
  #inquiry: { readonly over: Promise<void>; readonly end: () => void } | undefined

  /** @param openedAt When the statement was sent that began the lease on the server. */
  constructor({ lease, keepAlive }: LeaseTimes, openedAt: Moment) {
    this.#duration = lease
    this.#keepAlive = keepAlive
    this.#aliveAt = openedAt.monotonic
    this.#aliveAtWall = openedAt.wall
  }

  get state(): LeaseState {
    if (!this.isPast()) return 'certain'
    return this.silence() < this.#duration ? 'doubtful' : 'over'
  }

  /** Whether a clock says that the lease is over. A wall clock that was set back says nothing. */
  isPast(now = monotonicNow(), wall = wallNow()): boolean {
    return now - this.#aliveAt >= this.#duration || wall - this.#aliveAtWall >= this.#duration
  }

  /** How long the server has been silent, including the time in which all clocks agree that the machine was suspended. */
  silence(): number {
    const awake = monotonicNow() - this.#aliveAt
    const jump = wallNow() - this.#aliveAtWall - awake
    return awake + Math.max(0, Math.min(jump, suspendedSoFar() - this.#suspendedBefore))
  }

  /** A sign of life of that moment has arrived; one that is older than the last is no news. */
  renew(monotonic: number, wall: number): void {
    if (monotonic <= this.#aliveAt) return
    this.#aliveAt = monotonic
    this.#aliveAtWall = wall
    if (this.#inquiry && !this.isPast()) this.endInquiry()
  }

  /** Begins an inquiry; false if there is one already. */
  beginInquiry(): boolean {
    if (this.#inquiry) return false
    let end = (): void => {}
    const over = new Promise<void>((resolve) => (end = resolve))
    this.#inquiry = { over, end }
    return true
  }

  /** The server has answered, or the session is lost. */
  endInquiry(): void {
    this.#inquiry?.end()
    this.#inquiry = undefined
  }

  /** Resolves when the inquiry is over; undefined while there is none. */
  get inquiry(): Promise<void> | undefined {
    return this.#inquiry?.over
  }

  /** To be called from time to time while the session lives. */
  noteSuspensions(): void {
    if (!this.#inquiry) this.#suspendedBefore = suspendedSoFar()
  }

  /** Whether the session has to ask for a sign of life. */
  get isSignOfLifeDue(): boolean {
    return this.#inquiry !== undefined || monotonicNow() >= this.#aliveAt + this.#keepAlive
  }

  /** How long a statement of the work may take until its answer alone does not prove that the session lives, in milliseconds. */
  get longestTrusted(): number {
    return (this.#duration - this.#keepAlive) / 2
  }

  /** In how many milliseconds the session's timer has to run: at the next keepalive, or at the deadline when its statement is under way. */
  nextCheckIn(isBusy: boolean, isWorking: boolean): number {
    const now = monotonicNow()
    const keepAliveAt = this.#aliveAt + this.#keepAlive
    const isLate = keepAliveAt <= now
    const at = isBusy || isLate ? this.#aliveAt + this.#duration : keepAliveAt
    // While a statement is under way its answer may come any time, and the next keepalive counts from there. A question to another
    // connection about the work's statement may get no answer from the first, and then has to get one from the second in time.
    const most = isLate && isWorking ? this.#keepAlive / 4 : isBusy ? this.#keepAlive : LONGEST_TIMER
    return Math.max(1, Math.ceil(Math.min(at - now, most)))
  }
}
