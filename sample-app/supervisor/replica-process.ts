import { fork, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { Activity } from '../shop/activity.js'
import type { ReplicaMessage, SupervisorMessage } from '../shop/main.js'
import { UserError } from './user-error.js'

export interface ReplicaSettings {
  readonly databaseUrl: string
  /** `off`: the shop without locks, until told otherwise. `broken`: with locks that end at the process. */
  readonly locks: 'on' | 'off' | 'broken'
  /** How slow the world outside is. */
  readonly slowness?: number
  /** Told what happens to the locks of the replica. */
  readonly onActivities: (activities: readonly Activity[]) => void
}

/** How long a replica has for its orderly end. */
const patience = 10_000

/** The supervisor's end of a replica. */
export class ReplicaProcess {
  readonly number: number
  readonly #process: ChildProcess
  /** How the process ended: an exit code or a signal. */
  readonly ended: Promise<number | string>
  /** Resolves to the port of its shop; rejects when it ends before that. */
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
    }
    this.#process = fork(path.join(__dirname, '../shop/main.ts'), {
      env,
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    })
    createInterface(this.#process.stderr!).on('line', passOn)
    this.#process.on('error', () => undefined) // the exit follows
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
    this.opened.catch(() => undefined) // whoever waits for it is told
  }

  get pid(): number | undefined {
    return this.#process.pid
  }

  setLocks(locks: boolean): void {
    this.#tell({ locks })
  }

  /** Resolves when the process has ended by itself, as it does once nothing of the application is left. */
  async close(): Promise<void> {
    this.#tell({ close: true })
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

  #tell(message: SupervisorMessage): void {
    this.#process.send(message, () => undefined) // a process that can not be reached has ended
  }

  #failure(end: number | string): UserError {
    const how = typeof end === 'number' ? `with exit code ${end}` : `by ${end}`
    return new UserError(`Replica ${this.number} ended ${how} in the middle of the run.`)
  }
}

/** A schedule that is some milliseconds late on a busy machine is no news. */
function passOn(line: string): void {
  if (!line.startsWith('[Cron] Missed execution deadline')) console.error(line)
}
