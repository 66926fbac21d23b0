import { Command, InvalidArgumentError, Option } from 'commander'
import { once } from 'node:events'
import colors from 'picocolors'
import { startServer } from '../dev/servers/index.js'
import { compare } from './compare.js'
import { openDatabase, tableNames, withTables } from './database.js'
import { NamedLockService } from './named-lock.js'
import { explain, UserError } from './user-error.js'

interface Options {
  readonly server: 'mysql' | 'mariadb'
  readonly url?: string
  readonly replicas: number
  readonly orders: number
  readonly brokenLock?: boolean
}

const interrupted = new AbortController()

async function main({ server: kind, url, replicas, orders, brokenLock }: Options): Promise<void> {
  await using server = url === undefined ? await ownServer(kind) : undefined
  const databaseUrl = url ?? server!.url.replace('mysql:', `${kind}:`)
  const dataSource = await openDatabase(databaseUrl)
  const locks = NamedLockService.for(dataSource)
  try {
    if (url !== undefined) {
      console.log(
        `Your database gets the tables ${tableNames(dataSource).join(', ')}; the end of the run removes them.`,
      )
    }
    const run = await locks.tryWithLock('named-lock-sample', () =>
      withTables(dataSource, () => {
        const load = { orders, replicas, databaseUrl, signal: interrupted.signal }
        return compare(dataSource, load, brokenLock ? 'broken' : 'on')
      }),
    )
    if (!run.acquired) throw new UserError('The sample is running on this database already: wait until it has ended.')
  } finally {
    await locks.close()
    await dataSource.destroy()
  }
}

async function ownServer(kind: Options['server']) {
  try {
    const server = await Promise.race([startServer(kind), interruption()])
    console.log(`${kind} ${server.version} on ${server.host}:${server.port}`)
    return server
  } catch (error) {
    throw new UserError((error as Error).message)
  }
}

/** Rejects at Ctrl-C. */
async function interruption(): Promise<never> {
  await once(interrupted.signal, 'abort')
  throw new Error('Interrupted')
}

function wholeNumber(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 1.')
  return Number(text)
}

const command = new Command('npm run sample --')
  .description('A ticket shop in several processes, without and with @WithNamedLock.')
  .addOption(new Option('--server <kind>', 'the server to bring up').choices(['mysql', 'mariadb']).default('mysql'))
  .option('--url <url>', 'a database of yours instead, such as mysql://user:password@127.0.0.1:3306/test')
  .option('--replicas <n>', 'processes of the shop', wholeNumber, 2)
  .option('--orders <n>', 'customers, twice as many as there are tickets', wholeNumber, 600)
  .addOption(new Option('--broken-lock', 'locks that end at the process: the run must fail').hideHelp())
  .parse()

let interruptedAt = Infinity
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, interrupt)

/** The first Ctrl-C ends the replicas and cleans up; another one ends at once, unless npm has only passed on the first again. */
function interrupt(): void {
  if (Date.now() - interruptedAt > 1000) process.exit(130)
  interruptedAt = Math.min(interruptedAt, Date.now())
  interrupted.abort()
}

main(command.opts<Options>()).catch((error: unknown) => {
  if (interrupted.signal.aborted) {
    console.error('Interrupted.')
    process.exit(130) // a server that was just starting ends with this process
  }
  console.error(colors.red(explain(error)))
  process.exitCode = 1
})
