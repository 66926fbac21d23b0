import { existsSync, readFileSync } from 'node:fs'
import { createRequire, register } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { ExitCode, UserError } from './exit-codes.js'

/** What teaches Node.js TypeScript, in the order of preference: those that emit decorator metadata come first. */
const TOOLS = ['ts-node', '@swc-node/register', 'tsx'] as const

type Tool = (typeof TOOLS)[number]

const FOR_COMMONJS: Readonly<Record<Tool, string>> = {
  'ts-node': 'ts-node/register/transpile-only',
  '@swc-node/register': '@swc-node/register',
  tsx: 'tsx/cjs',
}

/** Those that have hooks to register, and those that do it themselves when they are imported. */
const FOR_ESM: Readonly<Record<Tool, { readonly hooks?: string; readonly imported?: string }>> = {
  'ts-node': { hooks: 'ts-node/esm/transpile-only' },
  '@swc-node/register': { hooks: '@swc-node/register/esm' },
  tsx: { imported: 'tsx' },
}

/**
 * A module of the application, of any kind. TypeScript is read with what the project has installed for it; only where that is
 * nothing, by Node.js itself, which knows neither decorators nor imports without an ending.
 */
export async function loadModule(file: string): Promise<object> {
  if (!/\.[cm]?ts$/.test(file)) return importFile(file)
  const isEsm = isEsModule(file)
  // What was taught by `node --require` knows only that.
  if (isTaught()) return isEsm ? importFile(file) : (createRequire(file)(file) as object)
  const tool = TOOLS.find((one) => isInstalled(one, file))
  if (tool && isEsm) await teachEsm(tool, file)
  else if (tool) createRequire(file)(FOR_COMMONJS[tool])
  try {
    return tool && !isEsm ? (createRequire(file)(file) as object) : await importFile(file)
  } catch (error) {
    const isStrange = (error as { code?: string }).code === 'ERR_UNKNOWN_FILE_EXTENSION' || error instanceof SyntaxError
    if (tool || !isStrange) throw error
    throw new UserError(
      `--dataSource: this Node.js does not read ${path.basename(file)} (${(error as Error).message}), and none of ${TOOLS.join(', ')} is installed beside it. Install one, or give the compiled file.`,
      ExitCode.usage,
      { cause: error },
    )
  }
}

async function importFile(file: string): Promise<object> {
  return (await import(pathToFileURL(file).href)) as object
}

/** This process was started with such a tool (`NODE_OPTIONS`, `node --import`). Node.js may know the ending by itself, too. */
function isTaught(): boolean {
  const isNative = Boolean((process.features as { typescript?: unknown }).typescript)
  return createRequire(__filename).extensions['.ts'] !== undefined && !isNative
}

function isInstalled(tool: Tool, file: string): boolean {
  try {
    createRequire(file).resolve(FOR_COMMONJS[tool])
    return true
  } catch {
    return false
  }
}

async function teachEsm(tool: Tool, file: string): Promise<void> {
  const { hooks, imported } = FOR_ESM[tool]
  if (hooks !== undefined) register(hooks, pathToFileURL(file))
  if (imported !== undefined) await import(pathToFileURL(createRequire(file).resolve(imported)).href)
}

/** By its ending, else by what the nearest package.json says. */
function isEsModule(file: string): boolean {
  if (!file.endsWith('.ts') || file.endsWith('.d.ts')) return file.endsWith('.mts')
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json')
    if (existsSync(manifest)) {
      return (JSON.parse(readFileSync(manifest, 'utf8')) as { type?: string }).type === 'module'
    }
    if (path.dirname(folder) === folder) return false
  }
}
