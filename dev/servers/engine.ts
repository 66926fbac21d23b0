import type { Command, SystemUser } from './run.js'
import type { Log, ServerAddress, ServerKind } from './server-types.js'

/** A server's executable and how to run it where it lies. */
export interface ServerProgram {
  readonly kind: ServerKind
  readonly version: string
  /** The server's executable, where it was found. */
  readonly file: string
  /** What to execute: the server itself, or the dynamic loader of the distribution that the server was built for. */
  readonly command: Command
  /** Arguments that a program away from its usual place needs to find its own files. */
  readonly locationArgs: readonly string[]
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Who has to run it, where that is not the user of this process. */
  readonly user?: SystemUser | undefined
  /** The folder with all of its files, where that is in the cache, to which nobody but this process's user has a way. */
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
  /** Undefined where the user may not know. */
  readonly dataDir: string | undefined
}

/** What differs between the kinds of server, as far as starting them goes. */
export interface Engine {
  /** Fills an empty folder with a fresh database, its users included; `args` are those of `initialArgs`. */
  readonly initialise: (program: ServerProgram, dataDir: string, log: Log, args: readonly string[]) => Promise<void>
  /** Those of a server's arguments that its database has to be created with, too. */
  readonly initialArgs?: (args: readonly string[]) => readonly string[]
  readonly serverArgs: (program: ServerProgram, place: ServerPlace) => string[]
  /** In the server's log: another process has the port. */
  readonly portTaken: RegExp
  /** Who answers at this address; rejects if nobody does. */
  readonly identify: (address: ServerAddress) => Promise<ServerIdentity>
}
