import { Argument, Command, Option } from 'commander'
import { environmentVariable } from './environment-server.js'
import { serverKinds, serverOrigins, type RunningServer, type ServerKind, type ServerOrigin } from './server-types.js'
import { startServer } from './start-server.js'

interface Flags {
  readonly json: boolean
  readonly via?: readonly ServerOrigin[]
}

const command = new Command('server')
  .description('Starts a database server for development and runs it until Ctrl-C.')
  .addArgument(new Argument('<kind>', 'which server').choices(serverKinds))
  .argument('[args...]', 'extra arguments for the server, after --')
  .addOption(new Option('--via <ways...>', 'use only these sources').choices(serverOrigins))
  .option('--json', 'print the address as one line of JSON', false)
  .action(serve)

async function serve(kind: ServerKind, args: readonly string[], { json, via }: Flags): Promise<void> {
  const ended = endSignal()
  const stayAlive = setInterval(() => undefined, 60_000)
  let started = false
  // A server that is still starting, maybe downloading, ends with this process.
  void ended.then(() => started || process.exit(130))
  const server = await startServer(kind, { args, via })
  started = true
  try {
    console.log(json ? JSON.stringify(addressOf(server)) : describe(server))
    await ended
  } finally {
    await server.stop()
    clearInterval(stayAlive)
    if (!json) console.log(server.canControl ? '\nStopped; its data is gone.' : '\nLeft as it was.')
  }
}

/** The listeners stay, because under npm Ctrl-C arrives twice, and the second one must not interrupt the shutdown. */
function endSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve())
  })
}

function addressOf({ kind, version, origin, url, host, port, username, password, database }: RunningServer) {
  return { kind, version, origin, url, host, port, username, password, database }
}

function describe(server: RunningServer): string {
  const { kind, host, port, username, password, database, url } = server
  const client =
    kind === 'postgres'
      ? `PGPASSWORD=${password} psql -h ${host} -p ${port} -U ${username} ${database}`
      : `${kind} --host=${host} --port=${port} --user=${username} --password=${password} ${database}`
  return [
    `${kind} ${server.version} (source: ${server.origin})`,
    `  address      ${url}`,
    `  client       ${client}`,
    `  application  export DATABASE_URL='${url}'`,
    `  tests        export ${environmentVariable(kind)}='${url}'`,
    ...(server.dataDir === undefined ? [] : [`  data         ${server.dataDir}`]),
    'Ctrl-C stops it.',
  ].join('\n')
}

command.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1)
})
