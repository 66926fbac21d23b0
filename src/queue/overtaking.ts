import type { Asker } from '../session/place.js'
import type { Sessions } from '../session/sessions.js'
import { clearTimeout, monotonicNow, setTimeout } from '../util/clock.js'
import type { ClaimQueue } from './claim-queue.js'
import type { Claim } from './claim.js'
import type { OwnConnection } from './own-connection.js'

/** How long the connection of the first in the queue may take to come before claims are served that bring theirs, in milliseconds. */
const OVERTAKE_AFTER = 50

/**
 * Which claim of the queue is served. It is the first, with one exception: while its connection is still to come, and the pool is full
 * or it takes long, a claim that brings its connection (`lockTransaction`) is served in its place. The pool may be full of such claims,
 * and the first would wait for a connection that they hold.
 *
 * So every wait for a connection is made here: it is broken off for a claim that brings one.
 */
export class Overtaking {
  readonly #queue: ClaimQueue
  readonly #sessions: Pick<Sessions, 'shared' | 'work'>
  readonly #own: OwnConnection
  /** The claim that last waited for its connection, and since when. Written when such a wait begins. */
  #missing: Claim | undefined
  #missingSince = 0
  /** Breaks the wait for a connection off. Empty while no connection is waited for. */
  #interrupt: (() => void) | undefined
  /** Looks again whether the wait has become long. Empty while no claim could overtake. */
  #timer: NodeJS.Timeout | undefined

  constructor(queue: ClaimQueue, sessions: Pick<Sessions, 'shared' | 'work'>, own: OwnConnection) {
    this.#queue = queue
    this.#sessions = sessions
    this.#own = own
  }

  /** The claim to be served now. The queue must not be empty. */
  next(): Claim {
    const head = this.#queue.head as Claim
    if (!head.next || this.#isAtHand(head) || !this.#isLate) return head
    const other = this.#bringing()
    if (!other) return head
    // It must not starve behind them.
    if (head.source) this.#own.begin(head, head.source)
    else void this.#sessions.shared.ready().catch(() => {})
    return other
  }

  /** A claim that brings its connection has come, or time has passed: the wait for another claim's connection may have to end. */
  check(): void {
    if (!this.#interrupt || !this.#bringing()) return
    if (this.#isLate) this.#interrupt()
    else {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined
        this.check()
      }, OVERTAKE_AFTER)
    }
  }

  /** Waits for the claim's connection; false when another claim is to be served first. */
  async waitFor(claim: Claim, connection: Promise<unknown>): Promise<boolean> {
    const interrupted = new Promise<boolean>((resolve) => (this.#interrupt = () => resolve(false)))
    this.#misses(claim)
    try {
      return await Promise.race([connection.then(() => true), interrupted])
    } finally {
      this.#comes()
    }
  }

  /** Asks whether the lock is free; undefined when another claim is to be served before the question could be sent. */
  isFree(claim: Claim, literal: string): Promise<boolean | undefined> {
    const { shared } = this.#sessions
    return new Promise((resolve, reject) => {
      const asker: Asker = {
        answered: (_request, answer, error) => {
          this.#comes()
          if (error) reject(error)
          else resolve(answer === '1')
        },
      }
      this.#interrupt = () => {
        if (!shared.withdraw(asker)) return
        this.#comes()
        resolve(undefined)
      }
      if (!shared.session) this.#misses(claim)
      shared.ask('isFree', literal, asker)
    })
  }

  #misses(claim: Claim): void {
    if (this.#missing !== claim) {
      this.#missing = claim
      this.#missingSince = monotonicNow()
    }
    this.check()
  }

  #comes(): void {
    this.#interrupt = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  get #isLate(): boolean {
    if (this.#missing !== this.#queue.head) return false
    return this.#sessions.work.hasPoolWaiters || monotonicNow() - this.#missingSince >= OVERTAKE_AFTER
  }

  /** A claim behind the first that brings its connection. */
  #bringing(): Claim | undefined {
    if (!this.#queue.head?.next) return undefined
    for (const claim of this.#queue) {
      if (claim !== this.#queue.head && claim.source?.isInUse && this.#isAtHand(claim)) return claim
    }
    return undefined
  }

  #isAtHand(claim: Claim): boolean {
    if (this.#own.isOpeningFor(claim)) return this.#own.isReady
    return claim.source ? claim.source.isInUse : this.#sessions.shared.session !== undefined
  }
}
