import { Command, InvalidArgumentError, Option } from 'commander'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { startServer, type ServerAddress, type ServerKind } from '../dev/servers/index.js'
import { serverKinds } from '../dev/servers/server-types.js'
import type { NamedLockServiceOptions } from '../src/index.js'
import { openLibrary } from './subjects/library.js'
import { buildVersion, type Library } from './support/built-library.js'
import { concurrently, inSequence, type Throughput } from './support/load.js'
import { openObserver } from './support/open-observer.js'
import { paired } from './support/paired.js'
import { pinApart } from './support/pinning.js'
import { printComparison } from './support/print-comparison.js'

/**
 * Compares two versions of the library by the CPU that a lock costs.
 *
 * Both are loaded into one process and measured in turn, with many short samples, so that what the machine does beside them reaches both.
 * Rates are shown too, but a busy machine blurs them; the CPU of a lock it hardly changes.
 */

type OpenedLibrary = Awaited<ReturnType<typeof openLibrary>>

interface Load {
  readonly options?: NamedLockServiceOptions
  readonly run: (library: OpenedLibrary, ms: number) => Promise<Throughput>
}

const callers = 100
const nothing = () => undefined
const names = Array.from({ length: 1000 }, (_, index) => `order:${index}`)
const inTurn = (library: OpenedLibrary, ms: number) =>
  inSequence(ms, (count) => library.withLock(names[count % names.length]!, nothing))

const loads: Readonly<Record<string, Load>> = {
  'one-caller': { run: inTurn },
  'one-caller-background': { options: { release: 'background' }, run: inTurn },
  'distinct-names': {
    run: (library, ms) => concurrently(callers, ms, (caller) => library.withLock(names[caller]!, nothing)),
  },
  'one-name': { run: (library, ms) => concurrently(callers, ms, () => library.withLock('stock:7', nothing)) },
  transaction: { run: (library, ms) => concurrently(8, ms, (caller) => library.transaction(names[caller]!)) },
}

interface Options {
  readonly server: ServerKind
  readonly case?: readonly string[]
  readonly pairs: number
  readonly ms: number
}

function positiveInteger(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('A positive integer is needed.')
  return Number(text)
}

const program = new Command('bench:compare')
  .description('Compares two versions of the library: the CPU per lock, and the rate.')
  .argument('<before>', 'a commit')
  .argument('[after]', 'another commit (default: the working tree)')
  .addOption(new Option('--server <kind>', 'the server to measure on').choices(serverKinds).default('mysql'))
  .addOption(new Option('--case <name...>', 'run only these cases').choices(Object.keys(loads)))
  .option('--pairs <n>', 'samples of each version, taken in turn', positiveInteger, 41)
  .option('--ms <n>', 'length of a sample in milliseconds', positiveInteger, 200)

async function compare(
  address: ServerAddress,
  versions: { readonly before: Library; readonly after: Library },
  { options, run }: Load,
  { pairs, ms }: Options,
) {
  await using before = await openLibrary(address, { ...options, namespace: 'before' }, versions.before)
  await using after = await openLibrary(address, { ...options, namespace: 'after' }, versions.after)
  const bench = { rounds: pairs, sampleMs: ms }
  await paired({ before: (time) => run(before, time), after: (time) => run(after, time) }, { rounds: 2, sampleMs: 500 })
  return await paired({ before: (time) => run(before, time), after: (time) => run(after, time) }, bench)
}

async function main(before: string, after: string | undefined, options: Options): Promise<void> {
  const nameOf = async (commit: string) =>
    (await promisify(execFile)('git', ['rev-parse', '--short', commit], { cwd: __dirname })).stdout.trim()
  process.stdout.write(`before: ${await nameOf(before)}, after: ${after ? await nameOf(after) : 'the working tree'}\n`)
  const versions = { before: await buildVersion('before', before), after: await buildVersion('after', after) }
  await using server = await startServer(options.server)
  const observer = await openObserver(server)
  try {
    process.stdout.write(`${server.kind} ${server.version}, ${await pinApart(observer, [])}\n`)
    for (const [name, load] of Object.entries(loads)) {
      if (options.case && !options.case.includes(name)) continue
      printComparison(name, await compare(server, versions, load, options))
    }
  } finally {
    await observer.close()
  }
}

void program
  .parseAsync()
  .then(() => main(program.args[0]!, program.args[1], program.opts<Options>()))
  .catch((error: unknown) => {
    console.error(error)
    process.exitCode = 1
  })
