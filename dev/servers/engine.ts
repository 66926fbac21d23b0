import type { Command, SystemUser } from './run.js'
import type { Log, ServerAddress, ServerKind } from './server-types.js'

/** A server's executable and how to run it in its folder. */
export interface ServerProgram {
  readonly kind: ServerKind
  readonly version: string
  /** The path of the server's executable. */
  readonly file: string
  /** The command: the server itself, or the dynamic loader of the distribution that the server was built for. */
  readonly command: Command
  /** Arguments that a relocated program needs to find its own files. */
  readonly locationArgs: readonly string[]
  readonly env?: Readonly<Record<string, string>> | undefined
  /** The user that has to run it, if it is not the user of this process. */
  readonly user?: SystemUser | undefined
  /** The folder with all of its files, if it is in the cache, which only this process's user can read. */
  readonly tree?: string | undefined
  /** Folder with the SQL files that create the system tables (MariaDB). */
  readonly shareDir?: string | undefined
}

/** The folders and the port of one running server. */
export interface ServerPlace {
  readonly folder: string
  readonly dataDir: string
  readonly port: number
}

export interface ServerIdentity {
  readonly version: string
  /** Undefined if the user lacks the privilege to see it. */
  readonly dataDir: string | undefined
}

/** The differences between the kinds of server in starting them. */
export interface Engine {
  /** Fills an empty folder with a fresh database, including its users; `args` are those of `initialArgs`. */
  readonly initialise: (program: ServerProgram, dataDir: string, log: Log, args: readonly string[]) => Promise<void>
  /** The server's arguments that are also needed for creating its database. */
  readonly initialArgs?: (args: readonly string[]) => readonly string[]
  readonly serverArgs: (program: ServerProgram, place: ServerPlace) => string[]
  /** The pattern in the server's log if another process has the port. */
  readonly portTaken: RegExp
  /** Identifies the server at this address; rejects if none answers. */
  readonly identify: (address: ServerAddress) => Promise<ServerIdentity>
}
