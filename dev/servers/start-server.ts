import { chosenVersion } from './chosen-version.js'
import { dockerServer } from './docker-server.js'
import { environmentServer, environmentVariable } from './environment-server.js'
import { installedProgram } from './installed-program.js'
import { LocalServer } from './local-server.js'
import { npmPostgres } from './npm-postgres.js'
import { packagedProgram } from './packaged-program.js'
import {
  serverOrigins,
  WayNotOpen,
  type Log,
  type RunningServer,
  type ServerKind,
  type ServerOrigin,
  type StartServerOptions,
} from './server-types.js'

type Way = (kind: ServerKind, args: readonly string[], log: Log) => Promise<RunningServer>

const ways: Readonly<Record<ServerOrigin, Way>> = {
  environment: environmentServer,
  docker: dockerServer,
  binary: async (kind, args, log) => {
    if (chosenVersion(kind)) throw new WayNotOpen('a version of another source is chosen')
    return LocalServer.start('binary', await installedProgram(kind), args, log)
  },
  packages: async (kind, args, log) => {
    const chosen = chosenVersion(kind)
    const program =
      chosen?.from === 'npm' ? npmPostgres(chosen.major, log) : packagedProgram(kind, chosen?.release, log)
    return LocalServer.start('packages', await program, args, log)
  },
}

/**
 * Provides a server for tests, benchmarks and the sample: the one named in the environment, otherwise a new one from
 * the first source that works. A new server ends with this process, however that ends.
 */
export async function startServer(kind: ServerKind, options: StartServerOptions = {}): Promise<RunningServer> {
  const log = options.log ?? ((line) => process.stderr.write(`${line}\n`))
  chosenVersion(kind) // a wrong choice is refused before any source is tried
  const failures: string[] = []
  const errors: unknown[] = []
  for (const origin of options.via ?? serverOrigins) {
    try {
      return await ways[origin](kind, options.args ?? [], log)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      if (!(error instanceof WayNotOpen)) {
        // A server named in the environment must be used: another one would only hide the mistake.
        if (origin === 'environment') throw error
        log(`No ${kind} server from source '${origin}': ${reason}`)
      }
      failures.push(`  ${origin}: ${reason}`)
      errors.push(error)
    }
  }
  throw new AggregateError(errors, `${noServer(kind)}\nTried:\n${failures.join('\n')}`)
}

function noServer(kind: ServerKind): string {
  return `No ${kind} server is available. Provide one of: ${environmentVariable(kind)} with the address of a
server; a running Docker; ${kind} installed on this machine; Debian or Ubuntu (for their packages).`
}
