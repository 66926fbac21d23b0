import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { parseDuration } from '../contract/duration.js'
import type { InspectOptions, ListOptions } from '../contract/options.js'
import type { Finding } from '../contract/lock-info.js'
import { ExitCode, UserError } from './exit-codes.js'
import { age, describeHolding, findingsText } from './format.js'
import { listJson, listText } from './list.js'
import { migrate, type MigrateFlags } from './migrate.js'
import { freeText, labelOf, Namespaces, othersText } from './namespaces.js'
import { release, type ReleaseFlags } from './release.js'
import { run, type RunFlags } from './run.js'
import { widthOfOutput } from './terminal.js'
import { SHORTEST_INTERVAL, watchList } from './watch-list.js'
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
    .showHelpAfterError('(Run with --help for usage.)')
    .addHelpText('after', EXAMPLES)
    .exitOverride()

  command(program, 'run', 'run a command while holding the lock')
    .addArgument(name())
    .argument('<command...>', 'the command and its arguments, after --')
    .addOption(time('--timeout', 'how long to wait for the lock: 500ms, 10s, 2m, 1h, 0, Infinity', '10s'))
    .addOption(
      new Option('--on-busy <what>', `when the lock times out: fail (exit code ${ExitCode.busy}) or skip (0)`)
        .choices(['fail', 'skip'])
        .default('fail'),
    )
    .addOption(finite('--hold-at-least', 'hold the lock at least that long, even if the command ends earlier', '0'))
    .addOption(finite('--kill-after', 'when the lock is lost: time from SIGTERM to SIGKILL for the command', '10s'))
    .addOption(
      new Option(
        '--mode <mode>',
        'read: together with other readers, write: alone (default: an ordinary lock)',
      ).choices(['read', 'write']),
    )
    .addOption(permits('at most so many commands hold the name at a time, on all machines together'))
    .option('--once', 'do not run again what has ended with exit code 0')
    .addOption(finite('--every', 'with --once: how long that counts, such as 20h', undefined, 1))
    .option('--exact-name', 'use the name as the key, as other programs do', false)
    .addHelpText('after', RUN_HELP)
    .action(async (lock: string, words: string[], flags: RunFlags & ServiceFlags) => {
      process.exitCode = await withService(flags, (locks) => run(locks, lock, words, flags))
    })

  command(program, 'list', 'list the locks of a namespace, with holders and waiters')
    .option('--prefix <text>', 'only names that begin with it')
    .option('--waiting', 'only locks that have waiters')
    .option('--watch', 'keep refreshing until Ctrl-C', false)
    .addOption(finite('--interval', 'refresh interval for --watch', '1s', SHORTEST_INTERVAL))
    .addOption(json())
    .addHelpText('after', LIST_HELP)
    .action(async ({ prefix, waiting, watch, interval, json: asJson, ...flags }: ListFlags) => {
      const filter = { prefix, waiting }
      await withService(flags, async (locks) => {
        if (watch) return watchList(locks, filter, interval, asJson)
        const list = await locks.list(filter)
        const namespaces = await Namespaces.look(locks)
        console.log(
          asJson
            ? JSON.stringify(listJson(list, namespaces), undefined, 2)
            : listText(list, namespaces, widthOfOutput()),
        )
        if (list.note !== undefined) console.error(list.note)
      })
    })

  command(program, 'who', 'show the holder of the lock; exit code 1 if it is free')
    .addArgument(name())
    .addOption(permits('show one of the holders of so many permits'))
    .option('--exact-name', 'use the name as the key, as other programs do', false)
    .addOption(json())
    .action(async (lock: string, { exactName, permits, json: asJson, ...flags }: WhoFlags) => {
      await withService(flags, async (locks) => {
        const holder = await locks.holder(lock, { exactName, permits })
        if (!holder) process.exitCode = ExitCode.failed
        const namespaces = await Namespaces.look(locks)
        const namespace = exactName ? false : namespaces.own
        const elsewhere = exactName ? [] : namespaces.elsewhere(lock)
        if (asJson) {
          console.log(JSON.stringify({ namespace, name: lock, holder, elsewhere, others: namespaces.others() }))
        } else if (holder) {
          const since = holder.since ? `, for ${age(holder.since)}` : ''
          console.log(`${describeHolding(holder)}${since}${exactName ? '' : ` (${labelOf(namespace)})`}`)
        } else console.log(freeText(lock, namespaces, exactName))
      })
    })

  command(program, 'check', 'find problems that make named locks unsafe; exit code 2 for errors, 1 for warnings')
    .option('--lease', 'also test that the server ends a silent session (takes 2 s)', false)
    .addOption(json())
    .action(async ({ json: asJson, lease, ...flags }: ServiceFlags & { json: boolean; lease: boolean }) => {
      await withService(
        flags,
        async (locks) => {
          const findings = await locks.check({ lease })
          const namespaces = await Namespaces.look(locks)
          const namespace = namespaces.own
          console.log(
            asJson
              ? JSON.stringify({ namespace, findings, others: namespaces.others() }, undefined, 2)
              : [`${findingsText(findings)}\nLocks are in ${labelOf(namespace)}.`, othersText(namespaces.others())]
                  .filter(Boolean)
                  .join('\n'),
          )
          process.exitCode = worst(findings)
        },
        'check',
      )
    })

  command(program, 'migrate', "run TypeORM's pending migrations, by one process at a time")
    .addOption(time('--timeout', 'how long to wait for another migrating process', '60s'))
    .addOption(new Option('--transaction <what>', "same as TypeORM's --transaction").choices(['all', 'none', 'each']))
    .option('--fake', 'record them as run without running them')
    .action(async (flags: MigrateFlags & ServiceFlags) => {
      if (flags.dataSource === undefined) {
        // A URL contains no migrations: none would ever be pending, and a start script would continue with an old
        // schema.
        throw new UserError('migrate needs --dataSource <file>: a database URL does not contain the migrations.')
      }
      await withService(flags, (locks, dataSource) => migrate(locks, dataSource, flags), 'migrations')
    })

  command(program, 'release', 'kill the connection that holds the lock')
    .addArgument(name())
    .option('--kill-holder', 'confirm that the connection is to be killed', false)
    .option('-y, --yes', 'do not ask for confirmation', false)
    .option('--exact-name', 'use the name as the key, as other programs do', false)
    .action(async (lock: string, flags: ReleaseFlags & ServiceFlags) => {
      process.exitCode = await withService(flags, (locks, dataSource) => release(locks, dataSource, lock, flags))
    })

  return program
}

type ListFlags = ServiceFlags & ListOptions & { watch: boolean; interval: number; json: boolean }
type WhoFlags = ServiceFlags & InspectOptions & { json: boolean }

function command(program: Command, called: string, description: string): Command {
  return program
    .command(called)
    .description(description)
    .option('-d, --dataSource <file>', "a module that exports the application's DataSource or NamedLockService")
    .option(
      '--url <url>',
      'mysql://user:password@host:port/database, mariadb://… or postgres://… (environment variable: NAMED_LOCK_URL)',
    )
    .option(
      '--namespace <text>',
      "the namespace of the application's service (environment variable: NAMED_LOCK_NAMESPACE; default: that of the exported service, or the database's name)",
    )
    .option('--no-namespace', 'use keys without a namespace')
}

function duration(text: string): number {
  // A number means seconds to flock(1) and sleep(1), milliseconds to JavaScript. A unit is required instead of a guess.
  if (/^\s*(\d+\.?\d*|\.\d+)\s*$/.test(text) && Number(text) > 0) {
    throw new InvalidArgumentError(`It needs a unit: ${text.trim()}s or ${text.trim()}ms.`)
  }
  try {
    return parseDuration(text)
  } catch {
    throw new InvalidArgumentError('Use a number with a unit: 500ms, 10s, 2m, 1h or 30d (or 0).')
  }
}

function time(flag: string, description: string, fallback: string): Option {
  return new Option(`${flag} <time>`, description).argParser(duration).default(parseDuration(fallback), fallback)
}

function permits(description: string): Option {
  return new Option('--permits <n>', description).argParser((text) => {
    if (/^[1-9]\d{0,3}$/.test(text) && Number(text) <= 1_000) return Number(text)
    throw new InvalidArgumentError('Use a number from 1 to 1000.')
  })
}

function finite(flag: string, description: string, fallback: string | undefined, least = 0): Option {
  const option = fallback === undefined ? new Option(`${flag} <time>`, description) : time(flag, description, fallback)
  return option.argParser((text) => {
    const milliseconds = duration(text)
    if (milliseconds === Infinity) throw new InvalidArgumentError('Infinity is too long.')
    if (milliseconds < least) throw new InvalidArgumentError(`It must be at least ${least}ms.`)
    return milliseconds
  })
}

function worst(findings: readonly Finding[]): number {
  if (findings.some(({ severity }) => severity === 'error')) return 2
  return findings.some(({ severity }) => severity === 'warning') ? 1 : 0
}

/** Whether commander has already printed the error. */
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
Exit codes: the command's own; ${ExitCode.busy} if the lock is busy; ${ExitCode.lost} if the lock was lost
while the command ran (the command gets SIGTERM then); 128 + n if signal n ended
it. The command's environment has NAMED_LOCK_NAME, NAMED_LOCK_KEY
and NAMED_LOCK_FENCING_TOKEN, and with --permits NAMED_LOCK_PERMIT (from 0).

Examples:
  A nightly job on one machine of a fleet, even if clocks differ:
  $ named-lock run nightly --timeout 0 --on-busy skip --hold-at-least 30s \\
      -d data-source.js -- ./nightly.sh
  Once a day, whatever the clocks of the machines say:
  $ named-lock run nightly --once --every 20h -d data-source.js -- ./nightly.sh
  One after the other:
  $ named-lock run import --timeout 10m -d data-source.js -- node import.js
  Five at a time, on all machines together:
  $ named-lock run geocode --permits 5 -d data-source.js -- node geocode.js`

const LIST_HELP = `
Examples:
  $ named-lock list --prefix order: -d data-source.js
  $ named-lock list --waiting --json -d data-source.js \\
      | jq '.locks[].name'`
