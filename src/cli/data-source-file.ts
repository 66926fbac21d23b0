import { statSync } from 'node:fs'
import path from 'node:path'
import type { DataSource } from 'typeorm'
import { ExitCode, UserError } from './exit-codes.js'
import { loadModule } from './load-module.js'

export interface ConnectionFlags {
  readonly dataSource?: string
  readonly url?: string
}

/** As TypeORM's own command line finds a file whose ending is left out. */
const ENDINGS = ['', '.js', '.cjs', '.mjs', '.ts', '.cts', '.mts', '/index.js', '/index.ts']

/** The DataSource that the flags name, initialised or not. */
export async function findDataSource({ dataSource, url }: ConnectionFlags): Promise<DataSource> {
  const address = url ?? (dataSource === undefined ? process.env.NAMED_LOCK_URL : undefined)
  if (dataSource !== undefined && url !== undefined) {
    throw new UserError('Give --dataSource or --url, not both.')
  }
  if (dataSource !== undefined) return exportedBy(path.resolve(dataSource))
  if (address !== undefined) return fromUrl(address)
  throw new UserError(
    'Which database? Give --dataSource <file> (a module that exports a DataSource), or --url mysql://user:password@host:port/database (also by the environment variable NAMED_LOCK_URL).',
  )
}

/** The driver for what a URL begins with. */
const DRIVERS = { mysql: 'mysql', mariadb: 'mariadb', postgres: 'postgres', postgresql: 'postgres' } as const

async function fromUrl(text: string): Promise<DataSource> {
  const scheme = URL.canParse(text) ? new URL(text).protocol.slice(0, -1) : ''
  if (!Object.hasOwn(DRIVERS, scheme)) {
    throw new UserError(
      '--url: it should look like mysql://user:password@host:port/database (or mariadb://…, postgres://…).',
    )
  }
  const { DataSource } = await import('typeorm')
  return new DataSource({ type: DRIVERS[scheme as keyof typeof DRIVERS], url: text })
}

async function exportedBy(given: string): Promise<DataSource> {
  const file = ENDINGS.map((ending) => given + ending).find(isFile)
  if (file === undefined) throw new UserError(`--dataSource: there is no file ${given}.`)
  const found = new Map<DataSource, string>()
  try {
    for (const [name, value] of await exportsOf(await loadModule(file))) {
      if (isDataSource(value) && !found.has(value)) found.set(value, name)
    }
  } catch (error) {
    if (error instanceof UserError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new UserError(`--dataSource: ${file} could not be loaded: ${reason}`, ExitCode.usage, { cause: error })
  }
  const [one, another] = found.keys()
  if (one && !another) return one
  throw new UserError(
    one
      ? `--dataSource: ${file} exports several DataSources (${[...found.values()].join(', ')}). Give a file that exports one.`
      : `--dataSource: ${file} exports no DataSource. It should: export default new DataSource({ … }), or a promise of one.`,
  )
}

/** What a module exports, promises fulfilled; of a CommonJS module also what stands in its `module.exports`. */
async function exportsOf(module: object): Promise<[name: string, value: unknown][]> {
  const all: [string, unknown][] = []
  for (const [name, exported] of Object.entries(module)) {
    const value: unknown = await exported
    all.push([name, value])
    const isCommonJs = name === 'default' && typeof value === 'object' && value !== null && !isDataSource(value)
    if (isCommonJs) all.push(...(await exportsOf(value)))
  }
  return all
}

/** Of whichever copy and major of TypeORM. */
function isDataSource(value: unknown): value is DataSource {
  const { createQueryRunner, setOptions } = (value ?? {}) as Partial<DataSource>
  return typeof createQueryRunner === 'function' && typeof setOptions === 'function'
}

function isFile(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false
}
