import { randomUUID } from 'node:crypto'
import { spawn, type ChildProcess } from 'node:child_process'

/**
 * A shell that ends the command if this process is killed. Without it the command would keep running after the next
 * machine has acquired the lock.
 *
 * The shell reads from a pipe that stays open as long as this process lives: first the command's process id, then the
 * note that the command has ended. It starts before the command. If this process dies between the start of the command
 * and the note of its id, the shell finds the command by a mark in its environment. Two seconds are enough for a command
 * that was only forked when this process died. Systems without /proc do not have the search, and there these few
 * milliseconds remain.
 */
const SCRIPT = `
if read -r target; then
  test "$target" = done && exit
  read -r word && exit
  kill -TERM "$target"; sleep 5; kill -KILL "$target"; exit
fi
test -d /proc/self || exit
found=
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  for file in $(grep -lsF "$1" /proc/[0-9]*/environ); do
    pid=\${file#/proc/}; pid=\${pid%/environ}
    case " $found " in *" $pid "*) continue;; esac
    found="$found $pid"
    kill -TERM "$pid"
  done
  sleep 0.1
done
test -n "$found" || exit
sleep 3
for file in $(grep -lsF "$1" /proc/[0-9]*/environ); do
  pid=\${file#/proc/}; kill -KILL "\${pid%/environ}"
done`

export class CommandWatch {
  /** Variables for the environment of the command. */
  readonly variables: NodeJS.ProcessEnv
  readonly #shell: ChildProcess | undefined

  constructor() {
    const mark = `NAMED_LOCK_RUN=${randomUUID()}`
    this.variables = { NAMED_LOCK_RUN: mark.slice(mark.indexOf('=') + 1) }
    if (process.platform === 'win32') return
    // Its own session: a signal to this process's group, or the end of the terminal, must not end it.
    const stdio: ['pipe', 'ignore', 'ignore'] = ['pipe', 'ignore', 'ignore']
    const shell = spawn('sh', ['-c', SCRIPT, 'watch', mark], { stdio, detached: true })
    shell.on('error', () => {}) // no shell, no watch
    shell.stdin.on('error', () => {})
    shell.unref()
    this.#shell = shell
  }

  /** @param target The process id of the command, or that of its group with a minus. */
  guard(target: number): void {
    this.#shell?.stdin?.write(`${target}\n`)
  }

  /** The command has ended, or was not started. */
  end(): void {
    this.#shell?.stdin?.end('done\n')
  }
}
