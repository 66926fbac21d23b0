import { clearTimeout, setTimeout } from '../util/clock.js'
import { outside } from '../util/outside.js'

/** A holder waits for the answer to its release for one to two times as long, in milliseconds. */
const PATIENCE = 1_500

/** A slot, as far as its release goes. */
interface Releasing {
  /** Called from time to time while locks are being released; true while a holder waits for the answer. */
  checkRelease(): boolean
}

/** Ends the wait of holders for the answers to their releases, which may never come in a silent network. One timer serves all releases: none of them pays for its own. */
export class ReleaseWatch {
  readonly #slots: () => Iterable<Releasing>
  /** Set by `begin`; empty again when no release is unanswered, and after `stop`. */
  #timer: NodeJS.Timeout | undefined

  constructor(slots: () => Iterable<Releasing>) {
    this.#slots = slots
  }

  /** A lock is being released. */
  begin(): void {
    if (this.#timer) return
    this.#timer = outside(() => setTimeout(() => this.#check(), PATIENCE))
    this.#timer.unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #check(): void {
    this.#timer = undefined
    let isAnyUnanswered = false
    for (const slot of this.#slots()) if (slot.checkRelease()) isAnyUnanswered = true
    if (isAnyUnanswered) this.begin()
  }
}
