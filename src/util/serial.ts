/** Runs work one after the other, in the order of the calls. */
export class Serial {
  /** Settles with the last work that was handed in; it never rejects. */
  #last: Promise<unknown> = Promise.resolve()

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }
}
