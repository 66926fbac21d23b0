import { expect } from 'chai'

/**
 * A guaranteed figure, in milliseconds. The test machine may be busy, or pause for a moment. The median must therefore
 * keep the guarantee, and no single value may exceed it by far. NAMED_LOCK_CHAOS=full prints the measurements.
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

  /** Checks all values since the last check. */
  expectKept(): void {
    const sorted = this.#values.sort((a, b) => a - b)
    this.#values = []
    if (sorted.length === 0) return // all tests were skipped
    const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
    const text =
      `${this.#what}, promised within ${this.#promised} ms: ${sorted.length} times, ` +
      `median ${at(0.5).toFixed(1)}, 95 % ${at(0.95).toFixed(1)}, longest ${at(1).toFixed(1)} ms`
    if (process.env.NAMED_LOCK_CHAOS === 'full') console.log(`      ${text}`)
    expect(at(0.5), text).to.be.at.most(this.#promised)
  }
}
