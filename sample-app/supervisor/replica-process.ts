import { fork, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Activity } from '../shop/activity.js'
import { clockOrigin } from '../shop/clock.js'
import type { ReplicaMessage, SupervisorMessage } from '../shop/main.js'
import { UserError } from './user-error.js'

export interface ReplicaSettings {
  readonly databaseUrl: string
  /** `off`: the shop starts without locks. `broken`: locks that do not reach beyond the process. */
  readonly locks: 'on' | 'off' | 'broken'
  /** The slowness of the outside world. */
  readonly slowness?: number
  /** Called with the lock events of the replica. */
  readonly onActivities: (activities: readonly Activity[]) => void
}

/** How long a replica may take for a graceful shutdown. */
const patience = 10_000

/** A replica as its supervisor sees it. */
export class ReplicaProcess {
  readonly number: number
  readonly #process: ChildProcess
  /** The end of the process: an exit code or a signal. */
  readonly ended: Promise<number | string>
  /** Resolves to the port of its shop; rejects if the process ends earlier. */
  readonly opened: Promise<number>

  constructor(number: number, { databaseUrl, locks, slowness = 1, onActivities }: ReplicaSettings) {
    this.number = number
    const env = {
      ...process.env,
      REPLICA: String(number),
      DATABASE_URL: databaseUrl,
      LOCKS: locks,
      SLOWNESS: String(slowness),
      PORT: '0',
      CLOCK_ORIGIN: String(clockOrigin),
    }
    this.#process = fork(path.join(__dirname, '../shop/main.ts'), {
      env,
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    })
    createInterface(this.#process.stderr!).on('line', passOn)
    this.#process.on('error', () => undefined) // the `exit` event follows
    this.ended = new Promise((resolve) => {
      this.#process.once('exit', (code, signal) => resolve(signal ?? code ?? 'an unknown end'))
    })
    this.opened = new Promise((resolve, reject) => {
      this.#process.on('message', (message: ReplicaMessage) => {
        if ('open' in message) resolve(message.open.port)
        else onActivities(message.activities)
      })
      void this.ended.then((end) => reject(this.#failure(end)))
    })
    this.opened.catch(() => undefined) // callers that await it get the error
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  setLocks(locks: boolean): void {
    this.#send({ locks })
  }

  /** Resolves when the process has ended on its own, as it does after the application has closed. */
  async close(): Promise<void> {
    this.#send({ close: true })
    const stuck = setTimeout(() => void this.kill(), patience)
    const end = await this.ended
    clearTimeout(stuck)
    if (end !== 0) throw this.#failure(end)
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.ended
  }

  /** Rejects when the replica ends. */
  async dies(): Promise<never> {
    throw this.#failure(await this.ended)
  }

  #send(message: SupervisorMessage): void {
    this.#process.send(message, () => undefined) // an unreachable process has ended
  }

  #failure(end: number | string): UserError {
    const how = typeof end === 'number' ? `with exit code ${end}` : `by ${end}`
    return new UserError(`Replica ${this.number} ended ${how} in the middle of the run.`)
  }
}

/** Drops the warnings about a schedule that is some milliseconds late, as happens on a busy machine. */
function passOn(line: string): void {
  if (!line.startsWith('[Cron] Missed execution deadline')) console.error(line)
}
