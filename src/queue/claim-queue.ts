import type { Claim } from './claim.js'

/** The queued claims of a slot: first in, first out, and any claim can leave from the middle without a search. */
export class ClaimQueue {
  head: Claim | undefined
  #tail: Claim | undefined

  push(claim: Claim): void {
    claim.previous = this.#tail
    if (this.#tail) this.#tail.next = claim
    else this.head = claim
    this.#tail = claim
  }

  remove(claim: Claim): void {
    if (claim.previous) claim.previous.next = claim.next
    else this.head = claim.next
    if (claim.next) claim.next.previous = claim.previous
    else this.#tail = claim.previous
    claim.next = claim.previous = undefined
  }

  /** In order; the claim that is being visited may leave meanwhile. */
  *[Symbol.iterator](): Iterator<Claim> {
    let claim = this.head
    while (claim) {
      const next = claim.next
      yield claim
      claim = next
    }
  }
}
