/** So many may be in at a time; those beyond come in one by one, in their order. */
export class Places {
  readonly limit: number
  readonly #waiting: (() => void)[] = []
  #taken = 0

  constructor(limit: number) {
    this.limit = limit
  }

  get hasWaiters(): boolean {
    return this.#waiting.length > 0
  }

  async take(): Promise<void> {
    if (this.#taken < this.limit) this.#taken++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  giveBack(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#taken--
  }
}
