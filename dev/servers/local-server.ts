import { chmod, chown, mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freshDataDir } from './data-template.js'
import type { ServerProgram } from './engine.js'
import { engines } from './engines.js'
import { freePort } from './free-port.js'
import { attempt, run } from './run.js'
import { ServerProcess } from './server-process.js'
import { appLogin, urlOf, type Log, type RunningServer, type ServerKind, type ServerOrigin } from './server-types.js'
import { Watchdog } from './watchdog.js'

const portAttempts = 5
const startLimit = 60_000

/** A server process on this machine, in a temporary folder, on a loopback port. */
export class LocalServer implements RunningServer {
  readonly kind: ServerKind
  readonly host = '127.0.0.1'
  readonly username = appLogin.username
  readonly password = appLogin.password
  readonly database = appLogin.database
  readonly canControl = true
  readonly dataDir: string
  readonly #program: ServerProgram
  readonly #args: readonly string[]
  readonly #folder: string
  readonly #watchdog: Watchdog
  #version = ''
  #port = 0
  #process: ServerProcess | undefined
  #stopped: Promise<void> | undefined

  private constructor(
    readonly origin: ServerOrigin,
    program: ServerProgram,
    args: readonly string[],
    folder: string,
  ) {
    this.kind = program.kind
    this.#program = program
    this.#args = args
    this.#folder = folder
    this.dataDir = path.join(folder, 'data')
    this.#watchdog = new Watchdog(folder)
  }

  static async start(origin: ServerOrigin, program: ServerProgram, args: readonly string[], log: Log) {
    const folder = await throwAwayFolder(program)
    const server = new LocalServer(origin, withinReach(program, folder), args, folder)
    try {
      if (server.#program.tree !== program.tree) await copyProgram(program, server.#program)
      await freshDataDir(engines[program.kind], server.#program, server.dataDir, log, args)
      await server.#startOnFreePort()
      return server
    } catch (error) {
      await server.stop()
      throw error
    }
  }

  get version(): string {
    return this.#version
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    return urlOf(this)
  }

  /** Kills the server: the data is deleted anyway, and an orderly shutdown takes seconds. */
  async stop(): Promise<void> {
    this.#stopped ??= this.kill().then(async () => {
      await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 })
      this.#watchdog.dismiss()
    })
    await this.#stopped
  }

  async kill(): Promise<void> {
    await this.#process?.kill()
  }

  async freeze(): Promise<void> {
    await this.#running().freeze()
  }

  async thaw(): Promise<void> {
    await this.#running().thaw()
  }

  async restart(): Promise<void> {
    if (this.#stopped) throw new Error(`This ${this.kind} server was stopped; its data is gone`)
    await this.kill()
    await this.#start()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #startOnFreePort(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      this.#port = await freePort()
      try {
        return await this.#start()
      } catch (error) {
        const taken = engines[this.kind].portTaken.test(String(error))
        if (!taken || attempt === portAttempts) throw error
      }
    }
  }

  async #start(): Promise<void> {
    const { kind, host, port, username, password, database } = this
    const { serverArgs, identify } = engines[kind]
    const place = { folder: this.#folder, dataDir: this.dataDir, port }
    const logFile = path.join(this.#folder, 'server.log')
    const args = [...serverArgs(this.#program, place), ...this.#args]
    const server = new ServerProcess(this.#program, args, this.#folder, logFile, this.#watchdog)
    this.#process = server
    const giveUpAt = Date.now() + startLimit
    let cause: unknown
    while (server.running && Date.now() < giveUpAt) {
      try {
        const { version, dataDir } = await identify({ kind, host, port, username, password, database })
        this.#version = version
        // Another server may have taken the port first; this one is then about to exit.
        if (dataDir !== undefined && path.resolve(dataDir) === this.dataDir) return
      } catch (error) {
        cause = error
      }
      await sleep(25)
    }
    await server.kill()
    const log = await readFile(logFile, 'utf8').catch(() => '')
    throw new Error(`${kind} ${this.#program.version} did not start. Its log ends:\n${log.slice(-2000)}`, { cause })
  }

  #running(): ServerProcess {
    if (!this.#process?.running) throw new Error(`This ${this.kind} server is not running; restart() starts it again`)
    return this.#process
  }
}

/** The program as its user can run it: a copy in the server's folder if the user cannot read the cache. */
function withinReach(program: ServerProgram, folder: string): ServerProgram {
  const { tree, user, command } = program
  if (tree === undefined || user === undefined) return program
  const copy = path.join(folder, 'program')
  const moved = (file: string): string => (file.startsWith(tree) ? path.join(copy, path.relative(tree, file)) : file)
  const [first, ...others] = command
  return { ...program, tree: copy, command: [moved(first), ...others.map(moved)] }
}

async function copyProgram({ tree = '' }: ServerProgram, { tree: copy = '' }: ServerProgram): Promise<void> {
  // Hard links cost next to nothing, but do not work between file systems.
  const { code } = await attempt(['cp', '-al', tree, copy])
  if (code !== 0) {
    await rm(copy, { recursive: true, force: true })
    await run(['cp', '-a', tree, copy])
  }
  await chmod(copy, 0o755)
}

async function throwAwayFolder({ kind, user }: ServerProgram): Promise<string> {
  const temporary = await realpath(os.tmpdir())
  // The path of a socket must fit into about 100 bytes.
  const folder = await mkdtemp(path.join(temporary.length > 60 ? '/tmp' : temporary, `named-lock-${kind}-`))
  if (user) await chown(folder, user.uid, user.gid)
  return folder
}
