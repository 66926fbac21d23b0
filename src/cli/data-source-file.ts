import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { DataSource } from 'typeorm'
import { ExitCode, UserError } from './exit-codes.js'

export interface ConnectionFlags {
  readonly dataSource?: string
  readonly url?: string
}

/** The DataSource that the flags name, not initialised. */
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

async function fromUrl(text: string): Promise<DataSource> {
  const scheme = URL.canParse(text) ? new URL(text).protocol.slice(0, -1) : ''
  if (scheme !== 'mysql' && scheme !== 'mariadb') {
    throw new UserError('--url: it should look like mysql://user:password@host:port/database (or mariadb://…).')
  }
  const { DataSource } = await import('typeorm')
  return new DataSource({ type: scheme, url: text })
}

async function exportedBy(file: string): Promise<DataSource> {
  if (!existsSync(file)) throw new UserError(`--dataSource: there is no file ${file}.`)
  const found = new Set<DataSource>()
  for (const exported of Object.values(await load(file))) {
    const value = await exported
    if (isDataSource(value)) found.add(value)
    // A CommonJS module that was compiled from ESM has its default inside of the default.
    const inner = (value as { default?: unknown } | undefined)?.default
    if (isDataSource(inner)) found.add(inner)
  }
  const [one, another] = found
  if (one && !another) return one
  throw new UserError(
    one
      ? `--dataSource: ${file} exports several DataSources. Give a file that exports one.`
      : `--dataSource: ${file} exports no DataSource. It should: export default new DataSource({ … }).`,
  )
}

async function load(file: string): Promise<object> {
  const url = pathToFileURL(file).href
  try {
    return (await import(url)) as object
  } catch (error) {
    if (!/\.[cm]?tsx?$/.test(file)) throw broken(file, error)
    const isForeign = (error as { code?: string }).code === 'ERR_UNKNOWN_FILE_EXTENSION' || error instanceof SyntaxError
    if (!isForeign) throw broken(file, error)
    if (!learnTypeScript(file)) {
      throw new UserError(
        `--dataSource: this Node.js does not read ${path.basename(file)}, and neither tsx nor ts-node is installed beside it. Install one, or give the compiled file.`,
        ExitCode.usage,
        { cause: error },
      )
    }
    try {
      return (await createRequire(file)(file)) as object
    } catch (failure) {
      throw broken(file, failure)
    }
  }
}

/** With what the project itself uses. */
function learnTypeScript(file: string): boolean {
  const resolve = createRequire(file)
  for (const hook of ['tsx/cjs', 'ts-node/register/transpile-only']) {
    try {
      resolve(hook)
      return true
    } catch {
      // not installed: the next
    }
  }
  return false
}

function broken(file: string, error: unknown): UserError {
  const reason = error instanceof Error ? error.message : String(error)
  return new UserError(`--dataSource: ${file} could not be loaded: ${reason}`, ExitCode.usage, { cause: error })
}

/** Of whichever copy and major of TypeORM. */
function isDataSource(value: unknown): value is DataSource {
  const { createQueryRunner, setOptions } = (value ?? {}) as Partial<DataSource>
  return typeof createQueryRunner === 'function' && typeof setOptions === 'function'
}
