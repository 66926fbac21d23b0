import { within } from '../util/within.js'
import { noAnswerError } from './timeout-error.js'

/** A question to the server that is asked once for all callers that wait for its answer at a time; each may leave by its signal. */
export class SharedQuestion {
  readonly #ask: () => Promise<void>
  /** The answer that is awaited; empty while the question is not under way. */
  #asking: Promise<void> | undefined
  /** One listener for all callers of a signal, as Node.js warns of more than ten. Removed with the answer. */
  readonly #unless = new Map<AbortSignal, Promise<void>>()

  constructor(ask: () => Promise<void>) {
    this.#ask = ask
  }

  /** The answer, or the signal's reason. */
  answered(signal: AbortSignal | undefined): Promise<void> {
    if (!signal) return this.#answer()
    let answered = this.#unless.get(signal)
    if (!answered) {
      answered = within(this.#answer(), Infinity, signal, noAnswerError).finally(() => this.#unless.delete(signal))
      this.#unless.set(signal, answered)
    }
    return answered
  }

  #answer(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => (this.#asking = undefined))
    return this.#asking
  }
}
