import { expect } from 'chai'

/**
 * A figure that is promised, in milliseconds. The machine of the tests may be busy, or stand still for a moment: so the median
 * has to keep the promise, and no single value may be far beyond it. NAMED_LOCK_CHAOS=full prints what was measured.
 */
export class Figure {
  readonly #what: string
  readonly #promised: number
  readonly #most: number
  #values: number[] = []

  constructor(what: string, promised: number, most = promised + 5_000) {
    this.#what = what
    this.#promised = promised
    this.#most = most
  }

  add(milliseconds: number): void {
    expect(milliseconds, `${this.#what}, in milliseconds`).to.be.lessThan(this.#most)
    this.#values.push(milliseconds)
  }

  /** Looks at all values since the last look. */
  expectKept(): void {
    const sorted = this.#values.sort((a, b) => a - b)
    this.#values = []
    if (sorted.length === 0) return // of tests that were left out
    const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
    const text =
      `${this.#what}, promised within ${this.#promised} ms: ${sorted.length} times, ` +
      `median ${at(0.5).toFixed(1)}, 95 % ${at(0.95).toFixed(1)}, longest ${at(1).toFixed(1)} ms`
    if (process.env.NAMED_LOCK_CHAOS === 'full') console.log(`      ${text}`)
    expect(at(0.5), text).to.be.at.most(this.#promised)
  }
}
