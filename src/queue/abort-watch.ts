import { outside } from '../util/outside.js'
import type { Claim } from './claim.js'

interface Watched {
  readonly claims: Set<Claim>
  readonly stop: () => void
}

/** Ends the waits of claims by their callers' signals. Each signal has one listener, however many claims wait with it. */
export class AbortWatch {
  readonly #watched = new WeakMap<AbortSignal, Watched>()

  watch(claim: Claim): void {
    const { signal } = claim
    if (!signal) return
    let watched = this.#watched.get(signal)
    if (!watched) this.#watched.set(signal, (watched = this.#listen(signal)))
    watched.claims.add(claim)
  }

  unwatch(claim: Claim): void {
    const watched = claim.signal && this.#watched.get(claim.signal)
    if (!watched?.claims.delete(claim) || watched.claims.size > 0) return
    watched.stop()
    this.#watched.delete(claim.signal as AbortSignal)
  }

  #listen(signal: AbortSignal): Watched {
    const claims = new Set<Claim>()
    const abort = (): void => {
      // The caller gets the signal's own reason, whatever it is.
      for (const claim of [...claims]) claim.slot.leave(claim, signal.reason as Error)
    }
    outside(() => signal.addEventListener('abort', abort))
    return { claims, stop: () => signal.removeEventListener('abort', abort) }
  }
}
