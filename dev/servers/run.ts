import { spawn } from 'node:child_process'

export type Command = readonly [string, ...string[]]

export interface RunOptions {
  /** The bytes of its standard input; empty by default. */
  readonly input?: string | undefined
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly cwd?: string | undefined
  readonly user?: SystemUser | undefined
}

export interface SystemUser {
  readonly uid: number
  readonly gid: number
}

export interface Finished {
  readonly code: number | null
  /** Standard output and standard error, interleaved. */
  readonly output: string
}

/** Runs a program to its end. Rejects only if it could not be started. */
export function attempt(command: Command, options: RunOptions = {}): Promise<Finished> {
  const [file, ...args] = command
  const { input, env, cwd, user } = options
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...env }, cwd, ...user })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text))
    }
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
    child.stdin.on('error', () => undefined) // the program may end without reading all of its input
    child.stdin.end(input)
  })
}

/** Like `attempt`, but rejects with the end of the output if the program fails; resolves with the output. */
export async function run(command: Command, options: RunOptions = {}): Promise<string> {
  const { code, output } = await attempt(command, options)
  if (code !== 0) throw new Error(`${command.join(' ')} failed (${code}):\n${output.slice(-2000)}`)
  return output
}
