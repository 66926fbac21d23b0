/** Waits for a place. */
export interface PlaceWaiter {
  /** The sessions of the waiter: those of one service can be passed on with their place. */
  readonly owner: object
  /** Called once, when the waiter has the place. */
  granted(): void
}

/**
 * The places for connections on which both a lock and its work live, for all services of a DataSource together: transactions and
 * dedicated locks. Waiters get them in the order in which they came, whichever service they use.
 */
export class WorkPlaces {
  readonly #limit: () => number
  /** Asks for the places of idle connections. */
  readonly #reclaim: () => void
  readonly #waiting: PlaceWaiter[] = []
  #taken = 0

  constructor(limit: () => number, reclaim: () => void) {
    this.#limit = limit
    this.#reclaim = reclaim
  }

  get limit(): number {
    return this.#limit()
  }

  /** The waiter that is next. */
  get first(): PlaceWaiter | undefined {
    return this.#waiting[0]
  }

  isWaiting(owner: object): boolean {
    return this.#waiting.some((waiter) => waiter.owner === owner)
  }

  takeAtOnce(): boolean {
    if (this.#taken >= this.limit) return false
    this.#taken++
    return true
  }

  wait(waiter: PlaceWaiter): void {
    this.#waiting.push(waiter)
    this.#reclaim()
  }

  /** The first waiter is served with a connection that has its place already. */
  serveFirst(): void {
    this.#waiting.shift()
  }

  giveBack(): void {
    this.#taken--
    this.serve()
  }

  /** Grants what is free. */
  serve(): void {
    while (this.#waiting.length > 0 && this.takeAtOnce()) this.#waiting.shift()?.granted()
  }
}
