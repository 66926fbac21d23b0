import { clearTimeout, monotonicNow, setTimeout } from '../util/clock.js'

/** Between polls of one slot, in milliseconds, growing from one to the other. */
const FIRST_POLL = 4
const LONGEST_POLL = 25
/** The most in the first second: turns pass from process to process then (50 ms each), so it is worth asking more often. */
const EARLY_POLL = 10
const EARLY = 1_000
/** The most for a caller that is patient: three to four statements a second. */
const PATIENT_POLL = 350
/** The most between tries while the database does not answer. */
const LONGEST_RETRY = 500

/**
 * The pauses between the tries of a contest. They grow from try to try, and have jitter so that processes do not poll in step. A pause
 * ends early when the last caller leaves, when the connection of a claim arrives, or, if wanted, when a waiting session becomes idle.
 */
export class Pauses {
  /** See `Sessions.wanting`. */
  readonly #wanting: Set<() => void>
  #startedAt = 0
  /** The length of the next pause. Set by `restart`, and after each pause. */
  #length = FIRST_POLL
  /** Ends the pause under way; empty while there is none. */
  #wake: (() => void) | undefined

  constructor(wanting: Set<() => void>) {
    this.#wanting = wanting
  }

  /** A contest begins. */
  restart(): void {
    this.#startedAt = monotonicNow()
    this.#length = FIRST_POLL
  }

  /** After yielding: one polling interval, so that other processes see the lock free once. */
  yieldToPollers(): Promise<void> {
    return this.#sleep(LONGEST_POLL, false)
  }

  /**
   * The pause after a try.
   *
   * @param isFailed The database could not be asked.
   * @param wantsSession A waiting session would end the pause.
   * @param isPatient The caller that is served is patient.
   */
  async next(isFailed: boolean, wantsSession: boolean, isPatient = false): Promise<void> {
    await this.#sleep(this.#length, wantsSession)
    const isEarly = monotonicNow() - this.#startedAt < EARLY
    const longest = isPatient ? PATIENT_POLL : isEarly ? EARLY_POLL : LONGEST_POLL
    this.#length = Math.min(this.#length * 1.5, isFailed ? LONGEST_RETRY : longest)
  }

  end(): void {
    this.#wake?.()
  }

  #sleep(milliseconds: number, wantsSession: boolean): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#wanting.delete(done)
        this.#wake = undefined
        resolve()
      }
      const timer = setTimeout(done, milliseconds * (0.5 + Math.random() / 2))
      this.#wake = done
      if (wantsSession) this.#wanting.add(done)
    })
  }
}
