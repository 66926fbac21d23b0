import { Command, InvalidArgumentError, Option } from 'commander'
import colors from 'picocolors'
import type { DataSource } from 'typeorm'
import { NamedLockService } from '../src/index.js'
import { startServer } from '../dev/servers/index.js'
import { runLive } from './live/live.js'
import { compare } from './once/compare.js'
import { openDatabase, tableNames, withoutTables } from './supervisor/database.js'
import { Interruption, onInterrupt } from './supervisor/interruption.js'
import { explain, UserError } from './supervisor/user-error.js'

interface Options {
  readonly once?: boolean
  readonly server: 'mysql' | 'mariadb' | 'postgres'
  readonly url?: string
  readonly replicas?: number
  readonly orders: number
  readonly port?: number
  readonly brokenLock?: boolean
}

const interrupted = onInterrupt()

async function main(options: Options): Promise<void> {
  const { server: kind, url } = options
  await using server = url === undefined ? await ownServer(kind) : undefined
  const databaseUrl = url ?? server!.url.replace(/^\w+:/, `${kind}:`)
  const dataSource = await openDatabase(databaseUrl)
  const locks = new NamedLockService(dataSource)
  try {
    if (url !== undefined) {
      console.log(
        `This creates the tables ${tableNames(dataSource).join(', ')} in your database and drops them at the end.`,
      )
    }
    const run = await locks.tryWithLock('named-lock-sample', () =>
      withoutTables(dataSource, () => runSample(options, dataSource, databaseUrl)),
    )
    if (!run.acquired) throw new UserError('The sample is already running on this database. Wait until it has ended.')
  } finally {
    await locks.close()
    await dataSource.destroy()
  }
}

async function runSample(options: Options, dataSource: DataSource, databaseUrl: string): Promise<void> {
  const { once, orders, port, brokenLock } = options
  if (once) {
    const locks = brokenLock ? 'broken' : 'on'
    return compare(dataSource, orders, { replicas: options.replicas ?? 2, databaseUrl, locks, signal: interrupted })
  }
  return runLive({ dataSource, databaseUrl, port, replicas: options.replicas ?? 3, signal: interrupted })
}

async function ownServer(kind: Options['server']) {
  try {
    const server = await Promise.race([startServer(kind), interruption()])
    console.log(`${kind} ${server.version} on ${server.host}:${server.port}`)
    return server
  } catch (error) {
    if (error instanceof Interruption) throw error
    throw new UserError((error as Error).message)
  }
}

function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    interrupted.addEventListener('abort', () => reject(interrupted.reason), { once: true })
  })
}

function wholeNumber(most: number): (text: string) => number {
  return (text) => {
    if (/^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= most) return Number(text)
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${most}.`)
  }
}

const command = new Command('npm run sample --')
  .description(
    'A ticket shop in several processes, with @WithNamedLock and without: live on a page, or with --once as a table.',
  )
  .option('--once', 'compare the shop without and with locks, print a table, and exit')
  .addOption(
    new Option('--server <kind>', 'the server to start').choices(['mysql', 'mariadb', 'postgres']).default('mysql'),
  )
  .option('--url <url>', 'your own database instead, such as mysql://user:password@127.0.0.1:3306/test or postgres://…')
  .option('--replicas <n>', 'number of shop processes (default: 3, with --once 2)', wholeNumber(8))
  .option('--port <n>', 'port of the page (default: 4600, or a free one)', wholeNumber(65_535))
  .option('--orders <n>', 'with --once: number of customers, twice the number of tickets', wholeNumber(999_999), 600)
  .addOption(new Option('--broken-lock', 'locks that do not reach beyond the process: the run must fail').hideHelp())
  .parse()

main(command.opts<Options>()).catch((error: unknown) => {
  if (interrupted.aborted) {
    console.error('Interrupted.')
    process.exit(130) // a server that is still starting ends with this process
  }
  console.error(colors.red(explain(error)))
  process.exitCode = 1
})
