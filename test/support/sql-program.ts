import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { SqlAddress } from './sql-client.js'
import { until } from './until.js'

/** The command of a client in another language: it reads a statement from each line, and prints its single value. */
interface Recipe {
  readonly name: string
  readonly probe: readonly [file: string, ...args: string[]]
  command(address: SqlAddress & { database: string }): readonly [file: string, ...args: string[]]
}

const PERL = [
  'use DBI; $| = 1;',
  'my $db = DBI->connect($ARGV[0], $ARGV[1], $ARGV[2], { RaiseError => 1, PrintWarn => 0 });',
  'while (my $sql = <STDIN>) { my ($value) = $db->selectrow_array($sql); print defined $value ? "$value\\n" : "\\n" }',
].join(' ')

export const sqlPrograms: readonly Recipe[] = [
  {
    name: 'psql',
    probe: ['psql', '--version'],
    command: ({ host, port, username, database }) => [
      'psql',
      ...['--no-psqlrc', '--quiet', '--tuples-only', '--no-align', '--set=ON_ERROR_STOP=1'],
      ...[`--host=${host}`, `--port=${port}`, `--username=${username}`, `--dbname=${database}`],
    ],
  },
  {
    name: 'Perl with DBD::Pg',
    probe: ['perl', '-MDBD::Pg', '-e', '1'],
    command: ({ host, port, username, password, database }) => [
      ...(['perl', '-e', PERL] as const),
      ...[`dbi:Pg:host=${host};port=${port};dbname=${database}`, username, password],
    ],
  },
]

export function isInstalled({ probe: [file, ...args] }: Recipe): boolean {
  try {
    execFileSync(file, args, { stdio: 'ignore', timeout: 30_000 })
    return true
  } catch {
    return false
  }
}

/** A running client program, with one connection to the server. */
export class SqlProgram {
  readonly #process: ChildProcess
  readonly #answers: string[] = []
  #errors = ''
  #hasEnded = false

  constructor(recipe: Recipe, address: SqlAddress & { database: string }) {
    const [file, ...args] = recipe.command(address)
    this.#process = spawn(file, args, {
      stdio: 'pipe',
      env: { ...process.env, PGPASSWORD: address.password, PGAPPNAME: 'outsider' },
    })
    createInterface({ input: this.#process.stdout! }).on('line', (line) => this.#answers.push(line))
    this.#process.stderr!.on('data', (text) => (this.#errors += String(text)))
    this.#process.stdin!.on('error', () => undefined) // the program has ended, and its answer will be missing
    this.#process.on('close', () => (this.#hasEnded = true))
  }

  /** The single value of a statement. */
  async value(sql: string): Promise<string> {
    this.#process.stdin!.write(`${sql};\n`)
    await until(`an answer to ${sql}`, () => this.#answers.length > 0 || this.#hasEnded, { within: 30_000 })
    const answer = this.#answers.shift()
    if (answer === undefined) throw new Error(`It ended at ${sql}: ${this.#errors}`)
    return answer
  }

  async end(): Promise<void> {
    this.#process.stdin!.end()
    await until('the program has ended', () => this.#hasEnded, { within: 30_000 })
  }
}
