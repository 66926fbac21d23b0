import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import { parseDuration } from '../contract/duration.js'

/* The arguments and options that several commands of the command line have. */

/** Adds a command with the options of the connection, which all commands that need a database have. */
export function databaseCommand(program: Command, called: string, description: string): Command {
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

export const lockName = (): Argument => new Argument('<name>', 'the name of the lock, as the application calls it')

export const json = (): Option => new Option('--json', 'print JSON')

export const exactName = (): Option => new Option('--exact-name', 'use the name as the key, as other programs do')

/** How `run` and `hold` wait for the lock. */
export const waitOptions = (): Option[] => [
  time('--timeout', 'how long to wait for the lock: 500ms, 10s, 2m, 1h, 0, Infinity', '10s'),
  new Option('--mode <mode>', 'read: together with other readers, write: alone (default: an ordinary lock)').choices([
    'read',
    'write',
  ]),
  permits('the maximum number of holders of the name at a time, on all machines together'),
  exactName(),
]

export function time(flags: string, description: string, fallback: string): Option {
  return new Option(`${flags} <time>`, description).argParser(duration).default(parseDuration(fallback), fallback)
}

/** A time that is not infinite. */
export function finite(flags: string, description: string, fallback: string | undefined, least = 0): Option {
  const option =
    fallback === undefined ? new Option(`${flags} <time>`, description) : time(flags, description, fallback)
  return option.argParser((text) => {
    const milliseconds = duration(text)
    if (milliseconds === Infinity) throw new InvalidArgumentError('Infinity is too long.')
    if (milliseconds < least) throw new InvalidArgumentError(`It must be at least ${least}ms.`)
    return milliseconds
  })
}

export function permits(description: string): Option {
  return new Option('--permits <n>', description).argParser((text) => {
    if (/^[1-9]\d{0,3}$/.test(text) && Number(text) <= 1_000) return Number(text)
    throw new InvalidArgumentError('Use a number from 1 to 1000.')
  })
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
