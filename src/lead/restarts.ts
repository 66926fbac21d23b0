/** The longest pause after failures, in milliseconds; a term that lasted longer has not failed at its start. */
const LONGEST = 30_000
/** The first pause after a failure where the option asks for none. */
const SHORTEST = 10

/** The pauses before a process campaigns again: the time of the option `restart`, and doubled with each failure in a row. */
export class Restarts {
  readonly #usual: number
  #failures = 0

  constructor(usual: number) {
    this.#usual = usual
  }

  afterSuccess(): number {
    this.#failures = 0
    return Math.max(this.#usual, 1)
  }

  /** @param ledFor How long the term lasted, in milliseconds. */
  afterFailure(ledFor: number): number {
    if (ledFor > LONGEST) this.#failures = 0
    const doubled = Math.max(this.#usual, SHORTEST) * 2 ** Math.min(this.#failures++, 20)
    return Math.min(doubled, Math.max(this.#usual, LONGEST))
  }
}
