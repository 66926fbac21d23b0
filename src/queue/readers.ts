import type { Asker, Request } from '../session/place.js'
import { clearTimeout, setTimeout } from '../util/clock.js'
import { outside } from '../util/outside.js'
import type { Claim } from './claim.js'
import type { Turn } from './turn.js'

/** While readers of this process wait behind a writer: how often the server is asked whether it still waits, in milliseconds. */
const ASK_AGAIN = 250

/** The slot of readers, as they see it. */
export interface SharedSlot {
  /** Readers hold the lock. */
  readonly isHeldByReaders: boolean
  /** A caller is queued. */
  readonly hasWaiters: boolean
  /** Asks the server whether a session waits for the lock alone. Readers must hold the lock. */
  askIsWanted(asker: Asker): void
  /** Grants the lock to the readers at the head of the queue, as far as they may join. */
  letReadersIn(): void
  /** The queued callers cannot join: those that do not wait leave. */
  foundBusy(): void
}

/**
 * Readers that share a lock in this process: those beside the first, to which the server has granted the lock, and whether others may
 * join them.
 *
 * Joining costs no round trip, so the server would never see a gap in a stream of readers. When the turn of this process is over,
 * the server is asked whether a session waits for the lock alone, blocked or polling. If so, readers queue until the server's answer is no.
 */
export class Readers implements Asker {
  readonly #slot: SharedSlot
  readonly #turn: Turn
  readonly #others = new Set<Claim>()
  /** Set while readers wait behind a writer: the writer may give up. Emptied when it fires, and by `clear`. */
  #timer: NodeJS.Timeout | undefined
  #isAsking = false

  constructor(slot: SharedSlot, turn: Turn) {
    this.#slot = slot
    this.#turn = turn
  }

  /** All readers but the first. */
  get others(): Iterable<Claim> {
    return this.#others
  }

  /** The server is being asked whether others may join. */
  get isAsking(): boolean {
    return this.#isAsking
  }

  add(claim: Claim): void {
    this.#others.add(claim)
  }

  /** A reader has released the lock. Returns the first of the others now, undefined when there are none. */
  without(claim: Claim, first: Claim): Claim | undefined {
    if (this.#others.delete(claim)) return first
    const [next] = this.#others
    if (next) this.#others.delete(next)
    return next
  }

  /** All have released the lock, or have lost it. */
  clear(): void {
    this.#others.clear()
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Whether that claim may join at once. Otherwise the server is asked, and its answer lets the readers in or keeps them waiting. */
  mayJoin(claim: Claim): boolean {
    if (this.#turn.isOver(claim)) {
      this.#ask()
      return false
    }
    this.#turn.passOn()
    return true
  }

  /** The answer to the question whether a session waits for the lock alone. */
  answered(_request: Request, answer: string | undefined): void {
    this.#isAsking = false
    if (!this.#slot.isHeldByReaders) return
    if (answer === '0') {
      this.#turn.begin()
      this.#slot.letReadersIn()
      // Some may be queued behind a writer of this process.
      if (this.#slot.isHeldByReaders && !this.#isAsking) this.#slot.foundBusy()
    } else {
      this.#slot.foundBusy()
      if (this.#slot.hasWaiters) this.#askLater()
    }
  }

  #ask(): void {
    if (this.#isAsking || this.#timer || !this.#slot.isHeldByReaders) return
    this.#isAsking = true
    this.#slot.askIsWanted(this)
  }

  #askLater(): void {
    this.#timer ??= outside(() =>
      setTimeout(() => {
        this.#timer = undefined
        this.#ask()
      }, ASK_AGAIN),
    )
    this.#timer.unref()
  }
}
