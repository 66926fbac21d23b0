import { statSync } from 'node:fs'
import path from 'node:path'
import type { DataSource } from 'typeorm'
import type { NamedLockService } from '../service/named-lock-service.js'
import type { NamedLockServiceOptions } from '../contract/options.js'
import { ExitCode, UserError } from './exit-codes.js'
import { loadModule } from './load-module.js'

export interface ConnectionFlags {
  readonly dataSource?: string
  readonly url?: string
}

/** Endings that may be omitted, in the order in which TypeORM's own command line tries them. */
const ENDINGS = ['', '.js', '.cjs', '.mjs', '.ts', '.cts', '.mts', '/index.js', '/index.ts']

/** The DataSource that the flags select, and the services exported with it. */
export interface Found {
  /** Initialised or not. */
  readonly dataSource: DataSource
  /** The NamedLockServices that the file exports; empty if it exports only a DataSource. */
  readonly services: readonly ExportedService[]
}

/** A NamedLockService of any copy of this library. Only its options are used. */
export interface ExportedService {
  readonly dataSource: DataSource
  readonly options: NamedLockServiceOptions
  close(): Promise<void>
}

/** Loads the DataSource that the flags name, and the services exported with it. */
export async function findDataSource({ dataSource, url }: ConnectionFlags): Promise<Found> {
  const address = url ?? (dataSource === undefined ? process.env.NAMED_LOCK_URL : undefined)
  if (dataSource !== undefined && url !== undefined) {
    throw new UserError('Pass --dataSource or --url, not both.')
  }
  if (dataSource !== undefined) return exportedBy(path.resolve(dataSource))
  if (address !== undefined) return { dataSource: await fromUrl(address), services: [] }
  throw new UserError(
    'No database given. Pass --dataSource <file> (a module that exports a DataSource or a NamedLockService) or ' +
      '--url mysql://user:password@host:port/database, or set NAMED_LOCK_URL.',
  )
}

/** The driver for each URL scheme. */
const DRIVERS = { mysql: 'mysql', mariadb: 'mariadb', postgres: 'postgres', postgresql: 'postgres' } as const

async function fromUrl(text: string): Promise<DataSource> {
  const scheme = URL.canParse(text) ? new URL(text).protocol.slice(0, -1) : ''
  if (!Object.hasOwn(DRIVERS, scheme)) {
    throw new UserError('--url must look like mysql://user:password@host:port/database (or mariadb://…, postgres://…).')
  }
  const { DataSource } = await import('typeorm')
  return new DataSource({ type: DRIVERS[scheme as keyof typeof DRIVERS], url: text })
}

async function exportedBy(given: string): Promise<Found> {
  const file = ENDINGS.map((ending) => given + ending).find(isFile)
  if (file === undefined) throw new UserError(`--dataSource: file not found: ${given}.`)
  const sources = new Map<DataSource, string>()
  const services = new Set<ExportedService>()
  const add = (value: unknown, name: string): boolean => {
    if (isService(value)) services.add(value)
    const source = isService(value) ? value.dataSource : value
    if (!isDataSource(source)) return false
    if (!sources.has(source)) sources.set(source, name)
    return true
  }
  try {
    const exported = await exportsOf(await loadModule(file))
    for (const [name, value] of exported) add(value, name)
    // Last, because calling a function may have side effects. Only a default export is called: it is meant to be used.
    const make = sources.size === 0 && exported.find(([name, value]) => name === 'default' && isMaker(value))
    if (make) add(await (make[1] as () => unknown)(), 'default()')
  } catch (error) {
    if (error instanceof UserError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new UserError(`--dataSource: ${file} could not be loaded: ${reason}`, ExitCode.usage, { cause: error })
  }
  const [dataSource, another] = sources.keys()
  if (dataSource && !another) return { dataSource, services: [...services] }
  throw new UserError(
    dataSource
      ? `--dataSource: ${file} exports several DataSources (${[...sources.values()].join(', ')}). Pass a file that exports one.`
      : `--dataSource: ${file} exports no DataSource and no NamedLockService. Write export default new DataSource({ … }), ` +
          'or export a promise of one, or a function that returns one.',
  )
}

/** All exports of a module, with promises resolved; for a CommonJS module also the properties of `module.exports`. */
async function exportsOf(module: object): Promise<[name: string, value: unknown][]> {
  const all: [string, unknown][] = []
  for (const [name, exported] of Object.entries(module)) {
    const value: unknown = await exported
    all.push([name, value])
    const isCommonJs = name === 'default' && typeof value === 'object' && value !== null
    if (isCommonJs && !isDataSource(value) && !isService(value)) all.push(...(await exportsOf(value)))
  }
  return all
}

/** Whether the value is a function without parameters; a class does not count. */
function isMaker(value: unknown): boolean {
  if (typeof value !== 'function' || value.length > 0) return false
  return !/^class\b/.test(Function.prototype.toString.call(value))
}

/** Recognises services of any copy of this library. */
function isService(value: unknown): value is ExportedService {
  const { dataSource, options, withLock, close } = (value ?? {}) as Partial<NamedLockService>
  const isOne = typeof withLock === 'function' && typeof close === 'function' && typeof options === 'object'
  return isOne && isDataSource(dataSource)
}

/** Recognises DataSources of any copy and major version of TypeORM. */
function isDataSource(value: unknown): value is DataSource {
  const { createQueryRunner, setOptions } = (value ?? {}) as Partial<DataSource>
  return typeof createQueryRunner === 'function' && typeof setOptions === 'function'
}

function isFile(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isFile() ?? false
}
