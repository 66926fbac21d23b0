import { Command, InvalidArgumentError, Option } from 'commander'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { startServer, type ServerKind } from '../dev/servers/index.js'
import { serverKinds } from '../dev/servers/server-types.js'
import { cases } from './cases/index.js'
import { buildLibrary } from './support/built-library.js'
import { describeEnvironment } from './support/environment.js'
import { openObserver } from './support/open-observer.js'
import { pinApart } from './support/pinning.js'
import { meets, printCase } from './support/print.js'
import { LocalRedis } from './support/redis.js'
import { Findings, type CaseReport } from './support/report.js'
import { median } from './support/statistics.js'

interface Options {
  readonly server: ServerKind
  readonly case?: readonly string[]
  readonly rounds: number
  readonly json?: string
  readonly quick?: boolean
  readonly pin: boolean
}

const names = cases.map(({ name }) => name)

function positiveInteger(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new InvalidArgumentError('A positive integer is needed.')
  return Number(text)
}

const program = new Command('bench')
  .description('Compares the library with the raw driver, a QueryRunner per lock, and redlock on Redis.')
  .addOption(new Option('--server <kind>', 'the server to measure on').choices(serverKinds).default('mysql'))
  .addOption(new Option('--case <name...>', 'run only these cases').choices(names))
  .option('--rounds <n>', 'samples per subject, taken in turn', positiveInteger, 5)
  .option('--json <file>', 'file for all figures (default: bench/results/<server>.json)')
  .option('--quick', 'a smoke test: everything runs, no figure means anything')
  .option('--no-pin', 'let the scheduler choose the cores of servers and benchmark')

function describe(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .map(([name, part]) => `${name} ${part}`)
    .join(', ')
}

async function main(options: Options): Promise<void> {
  const say = (line: string) => process.stdout.write(`${line}\n`)
  const started = performance.now()
  await buildLibrary()
  await using server = await startServer(options.server)
  const redis = await LocalRedis.start()
  const observer = await openObserver(server)
  try {
    const { host, port, username, password, database, kind } = server
    const address = { kind, host, port, username, password, database }
    const placement = options.pin ? await pinApart(observer, redis ? [redis.pid] : []) : 'left to the scheduler'
    const environment = await describeEnvironment()
    const about = {
      server: { kind, version: server.version, origin: server.origin },
      redis: redis?.version ?? 'not here',
      ...environment,
      placement,
    }
    for (const [what, value] of Object.entries(about)) say(`${what}: ${describe(value)}`)
    if (!redis) say('redlock is omitted: there is no redis-server on this machine.')

    const quick = options.quick ?? false
    const bench = {
      address,
      observer,
      redisPort: redis?.port,
      rounds: quick ? 1 : options.rounds,
      sampleMs: quick ? 100 : 700,
      quick,
    }
    const reports: Record<string, CaseReport & { title: string }> = {}
    for (const benchCase of cases.filter(({ name }) => options.case?.includes(name) ?? true)) {
      const findings = new Findings()
      await benchCase.run(bench, findings)
      printCase(benchCase, findings)
      const ratios = findings.ratios.map((ratio) => ({ ...ratio, median: median(ratio.samples), pass: meets(ratio) }))
      const figures = findings.figures.map((figure) => ({
        ...figure,
        median: median(figure.samples),
        ...(figure.cpu && { cpuMedian: median(figure.cpu) }),
      }))
      reports[benchCase.name] = { title: benchCase.title, ...findings, figures, ratios }
    }

    const seconds = Math.round((performance.now() - started) / 1000)
    const file = path.resolve(options.json ?? path.join(__dirname, 'results', `${kind}.json`))
    const result = { ...about, rounds: bench.rounds, sampleMs: bench.sampleMs, quick, seconds, cases: reports }
    await mkdir(path.dirname(file), { recursive: true })
    await writeFile(file, `${JSON.stringify(result, null, 2)}\n`)
    say(`${seconds} s; all figures are in ${path.relative(process.cwd(), file)}`)

    const wrong = Object.values(reports).flatMap(({ checks }) =>
      checks.filter((c) => c.kind === 'correctness' && !c.ok),
    )
    for (const { label, detail } of wrong) say(`WRONG: ${label}: ${detail}`)
    if (wrong.length > 0) process.exitCode = 1
  } finally {
    await observer.close()
    await redis?.stop()
  }
}

void program
  .parseAsync()
  .then(() => main(program.opts<Options>()))
  .catch((error: unknown) => {
    console.error(error)
    process.exitCode = 1
  })
