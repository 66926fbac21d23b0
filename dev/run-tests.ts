/*
 * The tests, two files at a time. A third one would save little on two cores, and slow machines fail tests of moments:
 *
 * - `npm test`: everything.
 * - `npm run test:quick`: all tests that need no server, on the in-memory server where a test needs a database.
 * - `npm run test:server -- mysql`: everything on one kind of server; several kinds with commas.
 *
 * Further arguments are files and options of mocha.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'

/** These begin first, the longest at the top, so that no long file is left for one process at the end. */
const LONGEST = [
  'transaction/silence',
  'sample/sample',
  'sample/page',
  'docs/getting-started',
  'chaos/fencing-tokens',
  'errors/database-errors',
  'transaction/lease',
  'engine/silent-network',
  'cli/namespace-flags',
  'engine/readers-in-processes',
  'conformance/processes',
  'cli/commands',
  'conformance/driver-options',
  'engine/permits-in-processes',
  'sample/killed-replicas',
  'chaos/leader',
  'cli/run',
  'chaos/open-into-death',
  'engine/model',
  'transaction/waiting',
  'engine/killed-anywhere',
  'chaos/exclusion',
  'chaos/connection-faults',
  'transaction/migrations',
  'transaction/one-connection',
  'engine/grant-races',
  'docs/pages',
  'servers/dev-servers',
  'engine/memory-of-waiters',
  'chaos/server-faults',
].map((name) => `test/${name}.test.ts`)

const QUICK = /^test\/(unit|conformance|testing|errors|engine)\//

const [part, ...rest] = process.argv.slice(2)
if (part === 'all') run({}, allFiles(), rest)
else if (part === 'quick') {
  const files = allFiles().filter((file) => QUICK.test(file))
  run({ NAMED_LOCK_TEST_SERVERS: 'memory' }, files, rest)
} else {
  const [kinds, ...others] = rest
  if (part !== 'server' || !/^(mysql|mariadb|postgres)(,(mysql|mariadb|postgres))*$/.test(kinds ?? '')) {
    console.error('Usage: npm run test:server -- mysql|mariadb|postgres [files and options of mocha]')
    process.exit(2)
  }
  run({ NAMED_LOCK_TEST_SERVERS: kinds }, allFiles(), others)
}

function allFiles(): string[] {
  const gone = LONGEST.filter((file) => !existsSync(file))
  if (gone.length > 0) throw new Error(`dev/run-tests.ts lists files that do not exist: ${gone.join(', ')}`)
  const found = (readdirSync('test', { recursive: true }) as string[])
    .filter((name) => name.endsWith('.test.ts') && !name.includes('node_modules'))
    .map((name) => `test/${name}`)
    .sort()
  return [...new Set([...LONGEST, ...found])]
}

function run(env: NodeJS.ProcessEnv, all: readonly string[], given: readonly string[]): void {
  const files = given.some((argument) => argument.endsWith('.ts')) ? [] : all
  const mocha = spawn(
    process.execPath,
    ['node_modules/mocha/bin/mocha.js', '--parallel', '--jobs', '2', ...files, ...given],
    { stdio: 'inherit', env: { ...process.env, ...env } },
  )
  mocha.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1))
}
