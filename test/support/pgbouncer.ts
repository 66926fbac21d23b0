import { accessSync, constants } from 'node:fs'
import { chmod, chown, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { Client } from 'pg'
import type { ServerProgram } from '../../dev/servers/engine.js'
import { freePort } from '../../dev/servers/free-port.js'
import { ServerProcess } from '../../dev/servers/server-process.js'
import { unprivilegedUser } from '../../dev/servers/unprivileged-user.js'
import { Watchdog } from '../../dev/servers/watchdog.js'
import type { SqlAddress } from './sql-client.js'
import { until } from './until.js'

export interface PgBouncerOptions {
  readonly mode: 'session' | 'transaction' | 'statement'
  /** Connections to the server, for each database and user. */
  readonly poolSize?: number
  /** Aliases of databases. */
  readonly aliases?: Readonly<Record<string, string>>
}

/** The program of this machine: `PGBOUNCER`, or an installed one; undefined if there is none. */
export function findPgBouncer(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin', '/usr/bin', '/usr/local/bin']
  const candidates = folders.filter(Boolean).map((folder) => path.join(folder, 'pgbouncer'))
  return [process.env.PGBOUNCER, ...candidates].find((file) => file && isProgram(file))
}

/** A PgBouncer in front of a server, for a single test. Clients log in by SCRAM. */
export class PgBouncer {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly #folder: string
  readonly #watchdog: Watchdog
  readonly #address: SqlAddress & { database: string }
  readonly #program: string
  #process: ServerProcess | undefined

  private constructor(program: string, folder: string, port: number, address: SqlAddress & { database: string }) {
    this.#program = program
    this.#folder = folder
    this.#watchdog = new Watchdog(folder)
    this.port = port
    this.#address = address
  }

  static async start(
    program: string,
    address: SqlAddress & { database: string },
    { mode, poolSize = 10, aliases = {} }: PgBouncerOptions,
  ): Promise<PgBouncer> {
    const { host, port, username, password } = address
    for (let attempt = 1; ; attempt++) {
      const folder = await mkdtemp(path.join(await realpath(os.tmpdir()), 'named-lock-pgbouncer-'))
      const own = new PgBouncer(program, folder, await freePort(), address)
      const settings = [
        '[databases]',
        ...Object.entries(aliases).map(
          ([alias, name]) =>
            `${alias} = host=${host} port=${port} user=${username} password=${password} dbname=${name}`,
        ),
        `* = host=${host} port=${port} user=${username} password=${password}`,
        '[pgbouncer]',
        `listen_addr = ${own.host}`,
        `listen_port = ${own.port}`,
        'unix_socket_dir =',
        'auth_type = scram-sha-256',
        `auth_file = ${path.join(folder, 'users')}`,
        `pool_mode = ${mode}`,
        `default_pool_size = ${poolSize}`,
        'max_client_conn = 500',
      ]
      const user = await unprivilegedUser() // it refuses to run as root
      await chmod(folder, 0o755)
      await writeFile(path.join(folder, 'pgbouncer.ini'), `${settings.join('\n')}\n`)
      await writeFile(path.join(folder, 'users'), `"${username}" "${password}"\n`)
      if (user)
        for (const name of ['', 'pgbouncer.ini', 'users']) await chown(path.join(folder, name), user.uid, user.gid)
      try {
        await own.restart()
        return own
      } catch (error) {
        await own.stop()
        if (attempt === 3) throw error
      }
    }
  }

  /** The options of a DataSource that connects through this PgBouncer. */
  get address(): { host: string; port: number } {
    return { host: this.host, port: this.port }
  }

  /** Ends all connections, on both sides. */
  async kill(): Promise<void> {
    await this.#process?.kill()
  }

  async restart(): Promise<void> {
    await this.kill()
    const user = await unprivilegedUser()
    const program: ServerProgram = {
      ...{ kind: 'postgres', version: '', locationArgs: [], user },
      ...{ file: this.#program, command: [this.#program] },
    }
    const log = path.join(this.#folder, 'log')
    const bouncer = new ServerProcess(program, ['pgbouncer.ini'], this.#folder, log, this.#watchdog)
    this.#process = bouncer
    await until('PgBouncer answers', async () => !bouncer.running || (await this.#answers()), { within: 30_000 })
    if (!bouncer.running) throw new Error(`PgBouncer did not start: ${await readFile(log, 'utf8').catch(() => '')}`)
  }

  async stop(): Promise<void> {
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 })
    this.#watchdog.dismiss()
  }

  async #answers(): Promise<boolean> {
    const { username: user, password, database } = this.#address
    const client = new Client({ ...this.address, user, password, database, connectionTimeoutMillis: 2_000 })
    client.on('error', () => undefined)
    try {
      await client.connect()
      await client.query('SELECT 1')
      return true
    } finally {
      await client.end().catch(() => undefined)
    }
  }
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
