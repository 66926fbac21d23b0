import { LONGEST_TIMER, clearTimeout, setTimeout } from '../util/clock.js'
import { isAftermath } from './term-end.js'
import type { Term } from './term.js'
import { warnOfFailure, warnOfSlowEnd } from './warnings.js'

/** How the work ended: `error` is there if it threw. */
export type WorkEnd = { readonly error?: unknown }

/**
 * The work of one term, to its end. A term that is lost waits for its work however long that takes, with a warning; a resignation waits for
 * `closeTimeout`, and then goes on without the work.
 */
export class WorkOfTerm {
  readonly #term: Term
  readonly #patience: number
  readonly #resigning: AbortSignal
  #isLeft = false

  /** @param resigning Aborted when the leadership ends. */
  constructor(term: Term, patience: number, resigning: AbortSignal) {
    this.#term = term
    this.#patience = Math.min(patience, LONGEST_TIMER)
    this.#resigning = resigning
  }

  /** Resolves when the work has ended, or to undefined when it was left to itself. */
  async run(work: () => unknown): Promise<WorkEnd | undefined> {
    const { signal } = this.#term
    let timer: NodeJS.Timeout | undefined
    let give = (): void => {}
    const left = new Promise<undefined>((resolve) => (give = () => resolve(undefined)))
    const late = (): void => {
      if (this.#resigning.aborted) give()
      else warnOfSlowEnd(this.#term.name, this.#patience)
    }
    const wait = (): void => {
      clearTimeout(timer)
      timer = setTimeout(late, this.#patience)
    }
    signal.addEventListener('abort', wait)
    this.#resigning.addEventListener('abort', wait) // also after a loss
    const end = await Promise.race([this.#settled(work), left])
    clearTimeout(timer)
    signal.removeEventListener('abort', wait)
    this.#resigning.removeEventListener('abort', wait)
    this.#isLeft = !end
    return end
  }

  async #settled(work: () => unknown): Promise<WorkEnd> {
    try {
      await work()
      return {}
    } catch (error) {
      if (this.#isLeft && !isAftermath(error, this.#term.signal)) warnOfFailure(this.#term.name, error, undefined)
      return { error }
    }
  }
}
