import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Argument, Command, Option } from 'commander'
import type { InspectOptions, ListOptions } from '../contract/options.js'
import type { Finding } from '../contract/lock-info.js'
import { resultsOf, resultsText } from './checks.js'
import { completionScript, SHELLS, type Shell } from './completion.js'
import { ExitCode, UserError } from './exit-codes.js'
import { databaseCommand, exactName, finite, json, lockName, permits, time, waitOptions } from './flags.js'
import { age, describeHolding, findingsText } from './format.js'
import { hold, type HoldFlags } from './hold.js'
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

/** The command line. Each command sets the exit code. */
export function createProgram(): Command {
  const program = new Command('named-lock')
    .description('See and use the named locks of a MySQL, MariaDB or PostgreSQL database.')
    .version(version)
    .showHelpAfterError('(Run with --help for usage.)')
    .addHelpText('after', EXAMPLES)
    .exitOverride()

  const running = databaseCommand(program, 'run', 'run a command while holding the lock')
    .addArgument(lockName())
    .argument('<command...>', 'the command and its arguments, after --')
    .addOption(
      new Option('--on-busy <what>', `when the lock times out: fail (exit code ${ExitCode.busy}) or skip (0)`)
        .choices(['fail', 'skip'])
        .default('fail'),
    )
    .addOption(finite('--hold-at-least', 'hold the lock at least that long, even if the command ends earlier', '0'))
    .addOption(finite('--kill-after', 'when the lock is lost: time from SIGTERM to SIGKILL for the command', '10s'))
    .option('--once', 'do not run again what has ended with exit code 0')
    .addOption(finite('--every', 'with --once: how long that counts, such as 20h', undefined, 1))
    .addHelpText('after', RUN_HELP)
    .action(async (lock: string, words: string[], flags: RunFlags & ServiceFlags) => {
      process.exitCode = await withService(flags, (locks) => run(locks, lock, words, flags))
    })
  for (const option of waitOptions()) running.addOption(option)

  const holding = databaseCommand(program, 'hold', 'hold the lock until a signal, or until stdin ends')
    .addArgument(lockName())
    .argument('[command...]', 'with a command: the same as run')
    .addOption(json())
    .addHelpText('after', HOLD_HELP)
    .action(async (lock: string, words: string[], flags: HoldFlags & ServiceFlags) => {
      if (words.length > 0 && flags.json) throw new UserError('--json is for hold without a command.')
      process.exitCode = await withService(flags, (locks) =>
        words.length > 0 ? run(locks, lock, words, { ...RUN_DEFAULTS, ...flags }) : hold(locks, lock, flags),
      )
    })
  for (const option of waitOptions()) holding.addOption(option)

  databaseCommand(program, 'list', 'list the locks of a namespace, with holders and waiters')
    .option('--prefix <text>', 'only names that begin with it')
    .option('--waiting', 'only locks that have waiters')
    .option('--watch', 'keep refreshing until Ctrl-C')
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

  databaseCommand(program, 'who', 'show the holder of the lock; exit code 1 if it is free')
    .addArgument(lockName())
    .addOption(permits('show one of the holders of so many permits'))
    .addOption(exactName())
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

  databaseCommand(
    program,
    'check',
    'find problems that make named locks unsafe; exit code 2 for errors, 1 for warnings',
  )
    .option('--lease', 'also test that the server ends a silent session (takes 2 s)')
    .addOption(json())
    .action(async ({ json: asJson, lease, ...flags }: ServiceFlags & { json: boolean; lease: boolean }) => {
      await withService(
        flags,
        async (locks) => {
          const findings = await locks.check({ lease })
          const checks = resultsOf(findings, lease)
          const namespaces = await Namespaces.look(locks)
          const namespace = namespaces.own
          const others = namespaces.others()
          const text = [
            `${resultsText(checks)}\n`,
            findingsText(findings),
            `Locks are in ${labelOf(namespace)}.`,
            othersText(others),
          ]
          console.log(
            asJson
              ? JSON.stringify({ namespace, checks, findings, others }, undefined, 2)
              : text.filter(Boolean).join('\n'),
          )
          process.exitCode = worst(findings)
        },
        'check',
      )
    })

  databaseCommand(program, 'migrate', "run TypeORM's pending migrations, by one process at a time")
    .addOption(time('--timeout', 'how long to wait for another migrating process', '60s'))
    .addOption(new Option('--transaction <what>', "same as TypeORM's --transaction").choices(['all', 'none', 'each']))
    .option('--fake', 'record the pending migrations as run, without running them')
    .action(async (flags: MigrateFlags & ServiceFlags) => {
      if (flags.dataSource === undefined) {
        // A URL contains no migrations: none would ever be pending, and a start script would continue with an old
        // schema.
        throw new UserError('migrate needs --dataSource <file>: a database URL does not contain the migrations.')
      }
      await withService(flags, (locks, dataSource) => migrate(locks, dataSource, flags), 'migrations', flags.timeout)
    })

  databaseCommand(program, 'release', 'kill the connection that holds the lock')
    .addArgument(lockName())
    .option('--kill-holder', 'required: ends the connection of the holder, with all of its locks')
    .option('-y, --yes', 'do not ask on the terminal')
    .addOption(permits('release the lowest held of so many permits'))
    .addOption(exactName())
    .action(async (lock: string, flags: ReleaseFlags & ServiceFlags) => {
      process.exitCode = await withService(flags, (locks, dataSource) => release(locks, dataSource, lock, flags))
    })

  program
    .command('completion')
    .description('print the script that completes named-lock in a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .addHelpText('after', COMPLETION_HELP)
    .action((shell: Shell) => void process.stdout.write(completionScript(program, shell)))

  return program
}

type ListFlags = ServiceFlags & ListOptions & { watch: boolean; interval: number; json: boolean }
type WhoFlags = ServiceFlags & InspectOptions & { json: boolean }

function worst(findings: readonly Finding[]): number {
  if (findings.some(({ severity }) => severity === 'error')) return 2
  return findings.some(({ severity }) => severity === 'warning') ? 1 : 0
}

/** Whether commander has already printed the error. */
export function isSaid(error: unknown): error is { exitCode: number } {
  return (error as { code?: string } | undefined)?.code?.startsWith('commander.') === true
}

/** What `run` does unless its options say otherwise, for a `hold` with a command. */
const RUN_DEFAULTS = { onBusy: 'fail', holdAtLeast: 0, killAfter: 10_000 } as const

const EXAMPLES = `
Examples:
  $ named-lock run nightly-report -d dist/data-source.js -- node report.js
  $ named-lock hold deploy -d dist/data-source.js
  $ named-lock list --watch --url mysql://app:secret@db/app
  $ named-lock who nightly-report -d src/data-source.ts
  $ named-lock check -d src/data-source.ts
  $ named-lock migrate -d src/data-source.ts`

const RUN_HELP = `
Exit codes: the command's own; ${ExitCode.busy} if the lock is busy; ${ExitCode.lost} if the lock was lost
while the command ran (the command gets SIGTERM then); ${ExitCode.notExecutable} if it cannot be
executed; ${ExitCode.notFound} if it is not found; 128 + n if signal n ended it or the wait.
The command's environment has NAMED_LOCK_NAME, NAMED_LOCK_KEY
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

const HOLD_HELP = `
Prints one line when it has the lock, and releases it on SIGINT, SIGTERM or
SIGHUP. If stdin is a pipe, the end of its input releases the lock, too. The
line is for a shell to evaluate: NAMED_LOCK_NAME='nightly' NAMED_LOCK_KEY='…'
NAMED_LOCK_FENCING_TOKEN='…', and with --permits NAMED_LOCK_PERMIT.
Exit codes: 0 after a release; ${ExitCode.busy} if the lock is busy; ${ExitCode.lost} if the lock was lost;
128 + n if signal n ended the wait.

Examples:
  Keep all jobs out during maintenance, until Ctrl-C:
  $ named-lock hold nightly -d data-source.js
  Hold it for a part of a bash script:
  coproc LOCK { named-lock hold deploy -d data-source.js; }
  read -r line <&\${LOCK[0]} || exit   # busy, or lost
  eval "$line"                        # NAMED_LOCK_FENCING_TOKEN and others
  ./deploy.sh
  eval "exec \${LOCK[1]}>&-"           # the end of its input: release`

const COMPLETION_HELP = `
Examples:
  bash, in ~/.bashrc:                  eval "$(named-lock completion bash)"
  zsh, in ~/.zshrc, after compinit:    eval "$(named-lock completion zsh)"
  fish, in ~/.config/fish/config.fish: named-lock completion fish | source`

const LIST_HELP = `
Examples:
  $ named-lock list --prefix order: -d data-source.js
  $ named-lock list --waiting --json -d data-source.js \\
      | jq '.locks[].name'`
