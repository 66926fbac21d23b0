import { spawn, type ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import { isatty } from 'node:tty'
import { CommandWatch } from './command-watch.js'
import { ExitCode, ofSignal, UserError } from './exit-codes.js'
import { printable } from './format.js'
import { LONGEST_TIMER, clearTimeout, setTimeout } from '../util/clock.js'

/** A command that runs under the lock, on this process's own terminal and streams. */
export class Command {
  /** The exit code: the command's own, or the one that a shell would report. */
  readonly ended: Promise<number>
  readonly #child: ChildProcess
  /** Started before the command: a command must not outlive this process. */
  readonly #watch = new CommandWatch()
  /**
   * On a terminal the command must stay in the foreground group; elsewhere it gets its own group, which is ended as a
   * whole.
   */
  readonly #isOnTerminal = [0, 1, 2].some((stream) => isatty(stream))
  #killing: NodeJS.Timeout | undefined

  constructor([file, ...args]: readonly string[], variables: NodeJS.ProcessEnv) {
    let child: ChildProcess
    try {
      const env = { ...process.env, ...variables, ...this.#watch.variables }
      child = spawn(file as string, args, { stdio: 'inherit', detached: this.#ownsGroup, env })
    } catch (error) {
      this.#watch.end()
      throw notStarted(file as string, error as Error)
    }
    this.#child = child
    if (child.pid === undefined) this.#watch.end()
    else this.#watch.guard(this.#target)
    this.ended = new Promise((resolve, reject) => {
      child.once('error', (error) => reject(notStarted(file as string, error)))
      child.once('exit', (code, signal) => {
        clearTimeout(this.#killing)
        this.#watch.end()
        resolve(signal ? ofSignal(signal, constants.signals) : (code ?? ExitCode.failed))
      })
    })
  }

  /** A terminal sends Ctrl-C and Ctrl-\ to the command directly. */
  forward(signal: NodeJS.Signals): void {
    if (this.#isOnTerminal && (signal === 'SIGINT' || signal === 'SIGQUIT')) return
    this.#kill(signal)
  }

  /** Sends SIGTERM, and SIGKILL if the command has not ended in time. */
  end(killAfter: number): void {
    this.#kill('SIGTERM')
    this.#killing = setTimeout(() => this.#kill('SIGKILL'), Math.min(killAfter, LONGEST_TIMER))
  }

  get #ownsGroup(): boolean {
    return !this.#isOnTerminal && process.platform !== 'win32'
  }

  /** A group's number is that of its first process, with a minus. */
  get #target(): number {
    const pid = this.#child.pid as number
    return this.#ownsGroup ? -pid : pid
  }

  #kill(signal: NodeJS.Signals): void {
    try {
      if (this.#child.pid !== undefined) process.kill(this.#target, signal)
    } catch {
      // the command has just ended
    }
  }
}

function notStarted(file: string, cause: NodeJS.ErrnoException): UserError {
  const isMissing = cause.code === 'ENOENT'
  const reasons: Record<string, string> = {
    ENOENT: 'there is no such command (or not what its first line names)',
    EACCES: 'it is not executable',
    E2BIG: 'its arguments and environment are too long',
  }
  const reason = reasons[cause.code ?? ''] ?? cause.message
  const code = isMissing ? ExitCode.notFound : ExitCode.notExecutable
  return new UserError(`'${printable(file)}' could not be started: ${reason}.`, code, { cause })
}
