/** The turns of processes that want one lock without a pause: consecutive holders of one process are one turn. */
export class Rounds {
  /** How many turns each process has had. */
  readonly turns: number[]
  /** The most turns of others that a process let pass between two of its own, counted from when each had had one. */
  mostMissed = 0
  readonly #missed: number[]
  #last: number | undefined

  constructor(processes: number) {
    this.turns = Array.from({ length: processes }, () => 0)
    this.#missed = Array.from({ length: processes }, () => 0)
  }

  /** That process holds the lock now. */
  note(process: number): void {
    if (this.#last === process) return
    this.#last = process
    this.turns[process]!++
    if (!this.hasEachHad(1)) return
    for (let other = 0; other < this.turns.length; other++) {
      this.#missed[other] = other === process ? 0 : this.#missed[other]! + 1
    }
    this.mostMissed = Math.max(this.mostMissed, ...this.#missed)
  }

  hasEachHad(count: number): boolean {
    return this.turns.every((turns) => turns >= count)
  }
}
