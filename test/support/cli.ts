import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { nodeCompiled } from './compiled.js'
import { until } from './until.js'

const main = path.join(__dirname, '..', '..', 'src', 'cli', 'main.ts')
const command = [...nodeCompiled, main]

export interface CliEnd {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** The first finding in the output of `named-lock check`: its severity and its code. */
export function findingIn(stdout: string): string | undefined {
  return /^(ERROR|WARNING|INFO) {2}[A-Z_]+$/m.exec(stdout)?.[0]
}

const running = new Set<Cli>()

/** The command `named-lock` in a process of its own, with or without a terminal. */
export class Cli {
  readonly ended: Promise<CliEnd>
  readonly exited: Promise<void>
  readonly #process: ChildProcess
  #hasEnded = false
  stdout = ''
  stderr = ''

  constructor(args: readonly string[], { terminal = false, env = {} } = {}) {
    const words = [...command, ...args]
    // `exec`: a shell that stays (dash does) would itself end on the terminal's SIGINT, even if the command ignores it.
    const [file, ...rest] = terminal ? ['script', '-qec', `exec ${words.map(quoted).join(' ')}`, '/dev/null'] : words
    this.#process = spawn(file as string, rest, {
      cwd: path.join(__dirname, '..', '..'),
      env: { ...process.env, NAMED_LOCK_URL: undefined, NAMED_LOCK_NAMESPACE: undefined, COLUMNS: undefined, ...env },
      stdio: 'pipe',
    })
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text))
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
    this.#process.stdin?.on('error', () => undefined)
    this.ended = new Promise((resolve) => {
      this.#process.once('close', (code) => {
        this.#hasEnded = true
        running.delete(this)
        resolve({ code, stdout: this.stdout, stderr: this.stderr })
      })
    })
    // Its streams may stay open, because a command left running in the background has them too.
    this.exited = new Promise((resolve) => this.#process.once('exit', () => resolve()))
    running.add(this)
  }

  get pid(): number {
    return this.#process.pid as number
  }

  /** Waits until something has been printed. */
  async printed(pattern: RegExp, within = 60_000): Promise<void> {
    const seen = () => pattern.test(this.stdout) || this.#hasEnded
    await until(`${String(pattern)} from named-lock`, seen, { within })
    if (!pattern.test(this.stdout)) throw new Error(`named-lock ended without it: ${this.stdout}${this.stderr}`)
  }

  /** Closes the reading end of stdout: later output cannot be written. */
  closeOutput(): void {
    this.#process.stdout?.destroy()
  }

  type(text: string): void {
    this.#process.stdin?.write(text)
  }

  endInput(): void {
    this.#process.stdin?.end()
  }

  send(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }
}

/** Runs the command to its end. */
export function cli(...args: string[]): Promise<CliEnd> {
  return new Cli(args).ended
}

/** Ends the commands that a failed test has left running. */
export async function endClis(): Promise<void> {
  const all = [...running]
  running.clear()
  for (const one of all) one.send('SIGKILL')
  await Promise.all(all.map(({ exited }) => exited))
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}
