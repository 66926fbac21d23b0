export type ServerKind = 'mysql' | 'mariadb' | 'postgres'

export const serverKinds: readonly ServerKind[] = ['mysql', 'mariadb', 'postgres']

/** The source of a server. */
export type ServerOrigin = 'environment' | 'docker' | 'binary' | 'packages'

/** All sources, in the order in which they are tried. */
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
  /** The version that the server reports, e.g. `9.7.4-2` or `11.8.3-MariaDB`. */
  readonly version: string
  readonly origin: ServerOrigin
  /** `mysql://app:app@127.0.0.1:33061/app` */
  readonly url: string
  /** False for an address from the environment: then `kill`, `freeze`, `thaw` and `restart` reject. */
  readonly canControl: boolean
  /** The folder of `general.log` and the like; undefined if the server's files are not readable here. */
  readonly dataDir?: string | undefined
  /** Ends the server and removes its files. A second call does nothing. */
  stop(): Promise<void>
  /** Sends SIGKILL: clients are not notified. Keeps the data, and resolves when the process is gone. */
  kill(): Promise<void>
  /** Sends SIGSTOP: connections stay open, but the server does not respond. */
  freeze(): Promise<void>
  /** Sends SIGCONT. */
  thaw(): Promise<void>
  /**
   * Restarts on the same port with the same data; resolves when the server answers SQL. Kills the server first if it
   * still runs.
   */
  restart(): Promise<void>
}

export interface StartServerOptions {
  /** Extra arguments for the server, e.g. `--performance-schema=ON`. They come last, so they override others. */
  readonly args?: readonly string[] | undefined
  /** The sources to try. Default: all of them, an address in the environment first. */
  readonly via?: readonly ServerOrigin[] | undefined
  /** Called with progress and failures: downloads, unpacking, sources that failed. Default: lines on stderr. */
  readonly log?: Log | undefined
}

export type Log = (line: string) => void

/** The login for the servers that are started here. It has all privileges. */
export const appLogin = { username: 'app', password: 'app', database: 'app' } as const

/** This source has no server on this machine; the message gives the reason. */
export class WayNotOpen extends Error {}

export function urlOf(address: ServerAddress): string {
  const { username, password, host, port, database } = address
  const scheme = address.kind === 'postgres' ? 'postgres' : 'mysql'
  const login = `${encodeURIComponent(username)}:${encodeURIComponent(password)}`
  return `${scheme}://${login}@${host}:${port}/${encodeURIComponent(database)}`
}
