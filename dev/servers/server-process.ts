import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import type { ServerProgram } from './engine.js'
import { childrenOf, signal, untilGone } from './process-tree.js'
import type { Watchdog } from './watchdog.js'

/** One run of a server's program, and of the processes it starts. */
export class ServerProcess {
  readonly #child: ChildProcess
  readonly #watchdog: Watchdog
  readonly #gone: Promise<void>
  #running = true

  constructor(program: ServerProgram, args: readonly string[], folder: string, logFile: string, watchdog: Watchdog) {
    const [file, ...prefix] = program.command
    const log = openSync(logFile, 'w')
    this.#child = spawn(file, [...prefix, ...args], {
      stdio: ['ignore', log, log],
      cwd: folder,
      env: { ...process.env, ...program.env },
      detached: true, // Ctrl-C must reach only this process, which ends the server
      ...program.user,
    })
    closeSync(log)
    this.#watchdog = watchdog
    this.#watch()
    this.#gone = new Promise((resolve) => {
      const over = () => {
        this.#running = false
        watchdog.watch() // its number may soon belong to another process
        resolve()
      }
      this.#child.once('exit', over)
      this.#child.once('error', over)
    })
    this.#child.unref() // the server must not keep this process alive
  }

  get running(): boolean {
    return this.#running
  }

  async kill(): Promise<void> {
    const { pid } = this.#child
    if (!this.#running || pid === undefined) return
    signal(pid, 'SIGSTOP') // no more children
    const children = await childrenOf(pid)
    this.#child.ref()
    for (const each of [pid, ...children]) signal(each, 'SIGKILL')
    await Promise.all([this.#gone, untilGone(children)])
  }

  async freeze(): Promise<void> {
    const { pid } = this.#child
    if (!this.#running || pid === undefined) return
    signal(pid, 'SIGSTOP')
    const children = await childrenOf(pid)
    this.#watch(...children) // frozen children would not detect that their parent is gone
    for (const child of children) signal(child, 'SIGSTOP')
  }

  async thaw(): Promise<void> {
    const { pid } = this.#child
    if (!this.#running || pid === undefined) return
    for (const each of [...(await childrenOf(pid)), pid]) signal(each, 'SIGCONT')
    this.#watch()
  }

  #watch(...children: readonly number[]): void {
    if (this.#child.pid !== undefined) this.#watchdog.watch(this.#child.pid, ...children)
  }
}
