import { fork, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import type { ReplicaAnswer, ReplicaRequest } from './replica.js'
import { UserError } from './user-error.js'

export interface ReplicaSettings {
  readonly databaseUrl: string
  /** `off`: the shop without locks. `broken`: with locks that end at the process. */
  readonly locks: 'on' | 'off' | 'broken'
  /** Ends the replica at once. */
  readonly signal: AbortSignal
}

/** The parent's end of a replica. */
export class ReplicaProcess {
  readonly #number: number
  readonly #process: ChildProcess
  /** How the process ended: an exit code or a signal. */
  readonly #end: Promise<number | string>

  constructor(number: number, { databaseUrl, locks, signal }: ReplicaSettings) {
    this.#number = number
    const env = { ...process.env, REPLICA: String(number), DATABASE_URL: databaseUrl, LOCKS: locks }
    this.#process = fork(path.join(__dirname, 'replica.ts'), { env, signal })
    this.#process.on('error', () => undefined) // an aborted signal is one; the exit follows
    this.#end = new Promise((resolve) => {
      this.#process.once('exit', (code, signal) => resolve(signal ?? code ?? 'an unknown end'))
    })
  }

  /** Resolves when the shop is open. */
  async opened(): Promise<void> {
    await this.#answer()
  }

  async ask<Answer extends ReplicaAnswer>(request: ReplicaRequest): Promise<Answer> {
    this.#process.send(request, () => undefined) // a process that can not be reached has ended, which #answer tells
    return (await this.#answer()) as Answer
  }

  /** Resolves when the process has ended by itself, as it does once nothing of the application is left. */
  async ended(): Promise<void> {
    const stuck = setTimeout(() => void this.kill(), 10_000)
    const end = await this.#end
    clearTimeout(stuck)
    if (end !== 0) throw this.#failure(end)
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#end
  }

  #answer(): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#process.once('message', resolve)
      void this.#end.then((end) => reject(this.#failure(end)))
    })
  }

  #failure(end: number | string): UserError {
    const how = typeof end === 'number' ? `with exit code ${end}` : `by ${end}`
    return new UserError(`Replica ${this.#number} ended ${how} in the middle of the run.`)
  }
}
