/**
 * Stands for the application's scheduler (`@Cron`, node-cron, …): calls `task` whenever the clock is at a multiple of `ms`, in
 * all replicas at the same moment, and whether the last call has ended or not.
 */
export class Schedule {
  readonly #ms: number
  readonly #task: () => Promise<unknown>
  readonly #running = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  #failure: { readonly error: unknown } | undefined

  constructor(ms: number, task: () => Promise<unknown>) {
    this.#ms = ms
    this.#task = task
    this.#waitForNext()
  }

  /** Resolves when the last call has ended; rejects if one of them failed. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    await Promise.all(this.#running)
    if (this.#failure) throw this.#failure.error
  }

  #waitForNext(): void {
    const next = (Math.round(Date.now() / this.#ms) + 1) * this.#ms
    this.#timer = setTimeout(() => {
      this.#waitForNext()
      const run = this.#run().finally(() => this.#running.delete(run))
      this.#running.add(run)
    }, next - Date.now())
  }

  async #run(): Promise<void> {
    try {
      await this.#task()
    } catch (error) {
      this.#failure ??= { error }
    }
  }
}
