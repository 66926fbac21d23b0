interface Used {
  users: number
  readonly stop: () => void
}

/**
 * Something that is started once for an object, however many users of that object want it, and stopped when the last of them has stopped
 * it. For what several services of one DataSource replace on it.
 */
export class WhileUsed {
  readonly #used = new WeakMap<object, Used>()

  /**
   * @param start Returns how to stop.
   * @returns How this user stops; calling it again does nothing.
   */
  start(object: object, start: () => () => void): () => void {
    let entry = this.#used.get(object)
    if (!entry) this.#used.set(object, (entry = { users: 0, stop: start() }))
    const used = entry
    used.users++
    let hasStopped = false
    return () => {
      if (hasStopped) return
      hasStopped = true
      if (--used.users > 0) return
      this.#used.delete(object)
      used.stop()
    }
  }
}
