/*
 * A part of the tests, two files at a time:
 *
 * - `npm run test:quick`: all tests that need no server, on the in-memory server where a test needs a database.
 * - `npm run test:server -- mysql`: everything on one kind of server; several kinds with commas.
 *
 * Further arguments are files and options of mocha.
 */
import { spawn } from 'node:child_process'

const [part, ...rest] = process.argv.slice(2)
if (part === 'quick') {
  run('memory', ['unit', 'conformance', 'testing', 'errors', 'engine'].map(filesIn), rest)
} else {
  const [kinds, ...others] = rest
  if (part !== 'server' || !/^(mysql|mariadb|postgres)(,(mysql|mariadb|postgres))*$/.test(kinds ?? '')) {
    console.error('Usage: npm run test:server -- mysql|mariadb|postgres [files and options of mocha]')
    process.exit(2)
  }
  run(kinds as string, [filesIn('**')], others)
}

function filesIn(folder: string): string {
  return folder === '**' ? 'test/**/*.test.ts' : `test/${folder}/**/*.test.ts`
}

function run(servers: string, all: readonly string[], given: readonly string[]): void {
  const files = given.some((argument) => argument.endsWith('.ts')) ? [] : all
  const mocha = spawn(
    process.execPath,
    ['node_modules/mocha/bin/mocha.js', '--parallel', '--jobs', '2', ...files, ...given],
    {
      stdio: 'inherit',
      env: { ...process.env, NAMED_LOCK_TEST_SERVERS: servers },
    },
  )
  mocha.on('exit', (code, signal) => process.exit(signal === null ? (code ?? 1) : 1))
}
