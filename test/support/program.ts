import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { nodeCompiled, nodeTsx } from './compiled.js'
import { until } from './until.js'

const root = path.join(__dirname, '..', '..')

export interface ProgramEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A TypeScript program of this project, or one of a user in the folder `cwd`, and its output. */
export class Program {
  readonly ended: Promise<ProgramEnd>
  readonly #process: ChildProcess
  #stdout = ''
  #stderr = ''
  #running = true

  constructor(file: string, args: readonly string[] = [], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}) {
    const [node, ...loader] = options.cwd === undefined ? nodeCompiled : nodeTsx
    this.#process = spawn(node, [...loader, file, ...args], {
      cwd: options.cwd ?? root,
      env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, CI: undefined, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text))
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    this.ended = new Promise((resolve, reject) => {
      this.#process.once('error', reject)
      this.#process.once('close', (code, signal) => {
        this.#running = false
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr })
      })
    })
  }

  get stdout(): string {
    return this.#stdout
  }

  /** Waits until the program has printed something. */
  async printed(text: string, within = 30_000): Promise<void> {
    await until(`'${text}' from the program`, () => this.#stdout.includes(text) || !this.#running, { within })
    if (!this.#stdout.includes(text)) throw new Error(`It ended without '${text}': ${this.#stdout}${this.#stderr}`)
  }

  /** The processes started by the program; Linux only. */
  children(): number[] {
    const pid = this.#process.pid!
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
  }

  send(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }
}
