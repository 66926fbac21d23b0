import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { JobCall, JobResult } from './worker-messages.js'

/** A worker process that runs jobs. */
export class Worker {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (result: JobResult) => void>()
  readonly #gone: Promise<unknown>
  #calls = 0

  constructor(file: string, nodeOptions: readonly string[] = []) {
    this.#child = fork(file, { execArgv: [...process.execArgv, ...nodeOptions], serialization: 'advanced' })
    this.#gone = once(this.#child, 'exit')
    this.#child.on('message', (message) => {
      const result = message as JobResult
      this.#waiting.get(result.id)?.(result)
      this.#waiting.delete(result.id)
    })
    this.#child.once('exit', (code, signal) => {
      for (const [id, settle] of this.#waiting) settle({ id, error: `The worker ended: ${code ?? signal}` })
      this.#waiting.clear()
    })
  }

  async call<T = void>(job: string, argument?: unknown): Promise<T> {
    const call: JobCall = { id: this.#calls++, job, argument }
    const result = await new Promise<JobResult>((resolve, reject) => {
      this.#waiting.set(call.id, resolve)
      this.#child.send(call, (error) => error && reject(error))
    })
    if (result.error !== undefined) throw new Error(`In a worker process: ${result.error}`)
    return result.value as T
  }

  /** Kills the process at once. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#gone
  }
}
