import { outside } from '../util/outside.js'
import type { Claim } from './claim.js'
import { clearTimeout, setTimeout } from '../util/clock.js'

/** While readers of this process wait behind somebody else who wants the lock alone: how often it is looked whether he still does, in milliseconds. */
const LOOK_AGAIN = 250

/** Readers of a slot beside the first, who share what was granted to that one; and the question whether others may join them. */
export class Readers {
  readonly #others = new Set<Claim>()
  /** Asks the server whether somebody wants the lock alone. */
  readonly #ask: () => void
  #timer: NodeJS.Timeout | undefined
  #isAsking = false

  constructor(ask: () => void) {
    this.#ask = ask
  }

  get all(): Iterable<Claim> {
    return this.#others
  }

  get isAsking(): boolean {
    return this.#isAsking
  }

  add(claim: Claim): void {
    this.#others.add(claim)
  }

  /** One of them has ended. Returns who is to be the first now, undefined when there is nobody else. */
  without(claim: Claim, first: Claim): Claim | undefined {
    if (this.#others.delete(claim)) return first
    const [next] = this.#others
    if (next) this.#others.delete(next)
    return next
  }

  /** All have ended, or are lost. */
  clear(): void {
    this.#others.clear()
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  look(): void {
    if (this.#isAsking || this.#timer) return
    this.#isAsking = true
    this.#ask()
  }

  looked(): void {
    this.#isAsking = false
  }

  /** Somebody does want it alone; whoever does may give up. */
  lookLater(): void {
    this.#timer ??= outside(() =>
      setTimeout(() => {
        this.#timer = undefined
        this.look()
      }, LOOK_AGAIN),
    )
    this.#timer.unref()
  }
}
