import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { nodeCompiled } from './compiled.js'
import { until } from './until.js'

export interface ChildMessage {
  readonly type: string
  readonly [key: string]: unknown
}

export interface ChildExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** The time at which the message arrived, by performance.now(). */
  readonly at: number
}

const children = new Set<Child>()

/** A child process that runs a file of `fixtures/`. Messages in both directions are lines of JSON. */
export class Child {
  readonly messages: ChildMessage[] = []
  readonly exited: Promise<ChildExit>
  readonly #process: ChildProcess
  readonly #fixture: string
  #read = 0
  #exit: ChildExit | undefined
  #expectedExit: { code: number | null; signal: NodeJS.Signals | null } = { code: 0, signal: null }
  /** It was told to die: that it ended a moment before the kill is no failure. */
  #isKilled = false
  #stderr = ''
  #noise = ''

  constructor(fixture: string, settings: unknown) {
    this.#fixture = fixture
    const file = path.join(__dirname, 'fixtures', fixture)
    const [node, ...loader] = nodeCompiled
    this.#process = spawn(node, [...loader, file, JSON.stringify(settings)], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#process.stdin?.on('error', () => undefined) // the process may be gone; its exit reports that
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    createInterface({ input: this.#process.stdout! }).on('line', (line) => this.#hear(line))
    this.exited = new Promise((resolve, reject) => {
      this.#process.once('error', reject)
      this.#process.once('close', (code, signal) => {
        this.#exit = { code, signal, at: performance.now() }
        resolve(this.#exit)
      })
    })
    this.exited.catch(() => undefined) // `failure` reports it
    children.add(this)
  }

  get hasExited(): boolean {
    return this.#exit !== undefined
  }

  /** Resolves to the next unread message of that type. */
  async next(type: string, within = 45_000): Promise<ChildMessage> {
    const find = () => this.messages.findIndex((message, at) => at >= this.#read && message.type === type)
    await until(`'${type}' from ${this.#fixture}`, () => find() >= 0 || this.hasExited, { within })
    const index = find()
    const message = this.messages[index]
    if (!message) throw new Error(`No '${type}' from ${this.#fixture}: ${this.failure() ?? 'it ended without it'}`)
    this.#read = index + 1
    return message
  }

  send(message: ChildMessage): void {
    this.#process.stdin?.write(`${JSON.stringify(message)}\n`)
  }

  /** For children that end in another way than by running out of work. */
  expectExit(code: number): void {
    this.#expectedExit = { code, signal: null }
  }

  async kill(): Promise<ChildExit> {
    if (!this.#exit) {
      this.#isKilled = true
      this.#process.kill('SIGKILL')
    }
    return this.exited
  }

  /** Sends SIGTERM, as an operator or Kubernetes does; the child must end by that signal. */
  terminate(): void {
    this.#expectedExit = { code: null, signal: 'SIGTERM' }
    this.#process.kill('SIGTERM')
  }

  /** Stops the process; none of its code runs until `cont()`. */
  stop(): void {
    this.#process.kill('SIGSTOP')
  }

  cont(): void {
    this.#process.kill('SIGCONT')
  }

  /** The failure of the child, if there was one. */
  failure(): string | undefined {
    const reported = this.messages.find((message) => message.type === 'error')
    if (reported) return `${this.#fixture} failed: ${String(reported.error)}`
    const exit = this.#exit
    if (!exit) return undefined
    const { code, signal } = this.#expectedExit
    if (this.#isKilled && exit.signal === 'SIGKILL') return undefined
    if (exit.code === code && exit.signal === signal) return undefined
    return `${this.#fixture} ended with ${exit.signal ?? `code ${exit.code}`}: ${this.#stderr || this.#noise}`
  }

  #hear(line: string): void {
    try {
      this.messages.push(JSON.parse(line) as ChildMessage)
    } catch {
      this.#noise += `${line}\n`
    }
  }
}

export function startChild(fixture: string, settings: unknown): Child {
  return new Child(fixture, settings)
}

/** Ends all running children. Rejects with any failure of a child since the last call. */
export async function finishChildren(): Promise<void> {
  const all = [...children]
  children.clear()
  await Promise.all(all.map((child) => child.kill()))
  const failures = all.map((child) => child.failure()).filter((failure) => failure !== undefined)
  if (failures.length > 0) throw new Error(`Child processes failed:\n${failures.join('\n')}`)
}
