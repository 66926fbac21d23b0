import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { parseDuration } from '../duration.js'
import type { Finding, InspectOptions, ListOptions } from '../options.js'
import { lockName } from './exact-name.js'
import { ExitCode } from './exit-codes.js'
import { age, describeHolder, findingsText, lockTable, printable } from './format.js'
import { release, type ReleaseFlags } from './release.js'
import { run, type RunFlags } from './run.js'
import { widthOfOutput } from './terminal.js'
import { watchList } from './watch-list.js'
import { withService, type ServiceFlags } from './with-service.js'

const { version } = JSON.parse(readFileSync(path.join(__dirname, '..', '..', 'package.json'), 'utf8')) as {
  version: string
}

const name = (): Argument => new Argument('<name>', 'the name of the lock, as the application calls it')
const json = (): Option => new Option('--json', 'print JSON').default(false)

/** The command line. Each command sets the exit code. */
export function createProgram(): Command {
  const program = new Command('named-lock')
    .description('See and use the named locks of a MySQL, MariaDB or PostgreSQL database.')
    .version(version)
    .showHelpAfterError('(--help tells more)')
    .addHelpText('after', EXAMPLES)
    .exitOverride()

  command(program, 'run', 'run a command while holding the lock')
    .addArgument(name())
    .argument('<command...>', 'the command and its arguments, after --')
    .addOption(time('--timeout', 'how long to wait for the lock: 500ms, 10s, 2m, 1h, 0, Infinity', '10s'))
    .addOption(
      new Option(
        '--on-busy <what>',
        `when the lock does not come in time: fail (exit code ${ExitCode.busy}) or skip (0)`,
      )
        .choices(['fail', 'skip'])
        .default('fail'),
    )
    .addOption(finite('--hold-at-least', 'keep the lock that long, also when the command ends earlier', '0'))
    .addOption(finite('--kill-after', 'when the lock is lost: how long after SIGTERM the command gets SIGKILL', '10s'))
    .option('--exact-name', 'the name is the key, as other programs use it', false)
    .addHelpText('after', RUN_HELP)
    .action(async (lock: string, words: string[], flags: RunFlags & ServiceFlags) => {
      process.exitCode = await withService(flags, (locks, dataSource) =>
        run(locks, lockName(dataSource, lock, flags.exactName), words, flags),
      )
    })

  command(program, 'list', 'list the locks that are held, and who waits for them')
    .option('--prefix <text>', 'only names that begin so')
    .option('--waiting', 'only locks that somebody waits for')
    .option('--watch', 'again and again, until Ctrl-C', false)
    .addOption(finite('--interval', 'with --watch: how often', '1s'))
    .addOption(json())
    .addHelpText('after', LIST_HELP)
    .action(async ({ prefix, waiting, watch, interval, json: asJson, ...flags }: ListFlags) => {
      const filter = { prefix, waiting }
      await withService(flags, async (locks) => {
        if (watch) return watchList(locks, filter, interval, asJson)
        const list = await locks.list(filter)
        console.log(asJson ? JSON.stringify(list, undefined, 2) : lockTable(list, widthOfOutput()))
        if (list.note !== undefined) console.error(list.note)
      })
    })

  command(program, 'who', 'tell who holds the lock; exit code 1 when nobody does')
    .addArgument(name())
    .option('--exact-name', 'the name is the key, as other programs use it', false)
    .addOption(json())
    .action(async (lock: string, { exactName, json: asJson, ...flags }: WhoFlags) => {
      await withService(flags, async (locks, dataSource) => {
        const holder = await locks.holder(lockName(dataSource, lock, exactName), { exactName })
        if (!holder) process.exitCode = ExitCode.failed
        const text = holder
          ? `${describeHolder(holder)}${holder.since ? `, for ${age(holder.since)}` : ''}`
          : `Nobody holds '${printable(lock)}'.`
        console.log(asJson ? JSON.stringify(holder) : text)
      })
    })

  command(
    program,
    'check',
    'look for what makes named locks unsafe with this server; exit code 2 for errors, 1 for warnings',
  )
    .addOption(json())
    .action(async ({ json: asJson, ...flags }: ServiceFlags & { json: boolean }) => {
      await withService(
        flags,
        async (locks) => {
          const findings = await locks.check()
          console.log(asJson ? JSON.stringify(findings, undefined, 2) : findingsText(findings))
          process.exitCode = worst(findings)
        },
        'check',
      )
    })

  command(program, 'migrate', "run TypeORM's pending migrations, by one process at a time")
    .addOption(time('--timeout', 'how long to wait for another process that migrates', '60s'))
    .addOption(new Option('--transaction <what>', "as TypeORM's own").choices(['all', 'none', 'each']))
    .option('--fake', 'only record them as run')
    .action(async ({ timeout, transaction, fake, ...flags }: MigrateFlags) => {
      const options = { timeout, ...(transaction && { transaction }), ...(fake && { fake }) }
      const work = async (applied: Promise<unknown[]>): Promise<void> => {
        const { length } = await applied
        console.log(
          length === 0 ? 'No migrations are pending.' : `${length} migration${length > 1 ? 's' : ''} applied.`,
        )
      }
      await withService(flags, (locks) => work(locks.runMigrations(options)), 'migrations')
    })

  command(program, 'release', 'take the lock from whoever holds it, by ending its connection')
    .addArgument(name())
    .option('--kill-holder', 'end the connection that holds it', false)
    .option('-y, --yes', 'do not ask', false)
    .option('--exact-name', 'the name is the key, as other programs use it', false)
    .action(async (lock: string, flags: ReleaseFlags & ServiceFlags) => {
      process.exitCode = await withService(flags, (locks, dataSource) => release(locks, dataSource, lock, flags))
    })

  return program
}

type ListFlags = ServiceFlags & ListOptions & { watch: boolean; interval: number; json: boolean }
type WhoFlags = ServiceFlags & InspectOptions & { json: boolean }
type MigrateFlags = ServiceFlags & { timeout: number; transaction?: 'all' | 'none' | 'each'; fake?: boolean }

function command(program: Command, called: string, description: string): Command {
  return program
    .command(called)
    .description(description)
    .option('-d, --dataSource <file>', "a module that exports the application's DataSource")
    .option(
      '--url <url>',
      'mysql://user:password@host:port/database, mariadb://… or postgres://… (or in the environment: NAMED_LOCK_URL)',
    )
    .option('--namespace <text>', "the service's option of that name (default: the database's name)")
    .option('--no-namespace', 'keys begin with nothing')
}

function duration(text: string): number {
  // Seconds to flock(1) and sleep(1), milliseconds to JavaScript: neither is guessed.
  if (Number(text) > 0 && text !== 'Infinity') {
    throw new InvalidArgumentError(`It needs a unit: ${text}s, or ${text}ms?`)
  }
  try {
    return parseDuration(text)
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error))
  }
}

function time(flag: string, description: string, fallback: string): Option {
  return new Option(`${flag} <time>`, description).argParser(duration).default(parseDuration(fallback), fallback)
}

function finite(flag: string, description: string, fallback: string): Option {
  return time(flag, description, fallback).argParser((text) => {
    const milliseconds = duration(text)
    if (milliseconds === Infinity) throw new InvalidArgumentError('Infinity is too long.')
    return milliseconds
  })
}

function worst(findings: readonly Finding[]): number {
  if (findings.some(({ severity }) => severity === 'error')) return 2
  return findings.some(({ severity }) => severity === 'warning') ? 1 : 0
}

/** What commander says itself was written already. */
export function isSaid(error: unknown): error is { exitCode: number } {
  return (error as { code?: string } | undefined)?.code?.startsWith('commander.') === true
}

const EXAMPLES = `
Examples:
  $ named-lock run nightly-report -d dist/data-source.js -- node report.js
  $ named-lock list --watch --url mysql://app:secret@db/app
  $ named-lock who nightly-report -d src/data-source.ts
  $ named-lock check -d src/data-source.ts
  $ named-lock migrate -d src/data-source.ts`

const RUN_HELP = `
The exit code is the command's own; ${ExitCode.busy} when the lock is busy, ${ExitCode.lost} when it was lost while the command ran (which gets
SIGTERM then), 128 + n when signal n ended the command. The command finds NAMED_LOCK_NAME, NAMED_LOCK_KEY and
NAMED_LOCK_FENCING_TOKEN in its environment.

Examples:
  A cron job of a whole fleet, run by one machine each night, though their clocks differ by seconds:
  $ named-lock run nightly --timeout 0 --on-busy skip --hold-at-least 30s -d data-source.js -- ./nightly.sh
  One after the other:
  $ named-lock run import --timeout 10m -d data-source.js -- node import.js --all`

const LIST_HELP = `
Examples:
  $ named-lock list --prefix order: -d data-source.js
  $ named-lock list --waiting --json -d data-source.js | jq '.[].name'`
