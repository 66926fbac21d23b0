export type ServerKind = 'mysql' | 'mariadb' | 'postgres'

export const serverKinds: readonly ServerKind[] = ['mysql', 'mariadb', 'postgres']

/** Where a server comes from. */
export type ServerOrigin = 'environment' | 'docker' | 'binary' | 'packages'

/** All of them, in the order in which they are tried. */
export const serverOrigins: readonly ServerOrigin[] = ['environment', 'docker', 'binary', 'packages']

export interface ServerAddress {
  readonly kind: ServerKind
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly database: string
}

export interface RunningServer extends ServerAddress, AsyncDisposable {
  /** What the server calls itself, e.g. `9.7.4-2` or `11.8.3-MariaDB`. */
  readonly version: string
  readonly origin: ServerOrigin
  /** `mysql://app:app@127.0.0.1:33061/app` */
  readonly url: string
  /** False for an address out of the environment: then `kill`, `freeze`, `thaw` and `restart` reject. */
  readonly canControl: boolean
  /** Where `general.log` and the like can be read; undefined when the server's files are elsewhere. */
  readonly dataDir?: string | undefined
  /** Ends the server and removes what it left on the disk. A second call does nothing. */
  stop(): Promise<void>
  /** SIGKILL: no farewell to anybody. Keeps the data, and resolves when the process is gone. */
  kill(): Promise<void>
  /** SIGSTOP: connections stay open, nothing is answered. */
  freeze(): Promise<void>
  /** SIGCONT. */
  thaw(): Promise<void>
  /** Same port, same data; resolves when the server answers SQL. Kills the server first where it still runs. */
  restart(): Promise<void>
}

export interface StartServerOptions {
  /** Extra arguments for the server, e.g. `--performance-schema=ON`. They come last, so they win. */
  readonly args?: readonly string[] | undefined
  /** Only these ways to come by a server. Default: all of them, an address in the environment first. */
  readonly via?: readonly ServerOrigin[] | undefined
  /** Told what takes its time or fails: downloads, unpacking, ways that did not work. Default: lines on stderr. */
  readonly log?: Log | undefined
}

export type Log = (line: string) => void

/** The login for the servers that are started here. It may do everything. */
export const appLogin = { username: 'app', password: 'app', database: 'app' } as const

/** This way leads to no server on this machine; the message says why. */
export class WayNotOpen extends Error {}

export function urlOf(address: ServerAddress): string {
  const { username, password, host, port, database } = address
  const scheme = address.kind === 'postgres' ? 'postgres' : 'mysql'
  const login = `${encodeURIComponent(username)}:${encodeURIComponent(password)}`
  return `${scheme}://${login}@${host}:${port}/${encodeURIComponent(database)}`
}
