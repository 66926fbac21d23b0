import { spawn, type ChildProcess } from 'node:child_process'

/**
 * A small shell that reads from a pipe of this process. However this process ends, even by SIGKILL, the pipe closes.
 * The shell then kills the server, frozen or not, and removes its folder. It has a session of its own, so Ctrl-C does
 * not reach it.
 */
const script = `
while read -r verb values; do
  case "$verb" in
    watch) pids=$values ;;
    done) exit 0 ;;
  esac
done
kill -9 $pids
tries=0
while [ -e "$1" ] && [ $tries -lt 100 ]; do
  rm -rf -- "$1" || sleep 0.05 # dying takes a moment, and a dying server may still write
  tries=$((tries + 1))
done
`

export class Watchdog {
  readonly #shell: ChildProcess

  constructor(folder: string) {
    const options = { stdio: ['pipe', 'ignore', 'ignore'] as ['pipe', 'ignore', 'ignore'], detached: true, cwd: '/' }
    this.#shell = spawn('/bin/sh', ['-c', script, 'watchdog', folder], options)
    this.#shell.on('error', () => undefined)
    this.#shell.stdin?.on('error', () => undefined)
    // Neither must keep this process alive.
    this.#shell.unref()
    ;(this.#shell.stdin as unknown as { unref(): void }).unref()
  }

  /** Sets the processes to kill, instead of the earlier ones. */
  watch(...pids: readonly number[]): void {
    this.#shell.stdin?.write(`watch ${pids.join(' ')}\n`)
  }

  /** Ends the shell: the server and its folder are gone. */
  dismiss(): void {
    this.#shell.stdin?.end('done\n')
  }
}
