import { existsSync, readFileSync } from 'node:fs'
import { createRequire, register } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { ExitCode, UserError } from './exit-codes.js'

/** The loaders for TypeScript, in order of preference: those that emit decorator metadata come first. */
const TOOLS = ['ts-node', '@swc-node/register', 'tsx'] as const

type Tool = (typeof TOOLS)[number]

const FOR_COMMONJS: Readonly<Record<Tool, string>> = {
  'ts-node': 'ts-node/register/transpile-only',
  '@swc-node/register': '@swc-node/register',
  tsx: 'tsx/cjs',
}

/** Some loaders have hooks to register; others register themselves when they are imported. */
const FOR_ESM: Readonly<Record<Tool, { readonly hooks?: string; readonly imported?: string }>> = {
  'ts-node': { hooks: 'ts-node/esm/transpile-only' },
  '@swc-node/register': { hooks: '@swc-node/register/esm' },
  tsx: { imported: 'tsx' },
}

/**
 * Loads a module of the application, of any kind. TypeScript is loaded by the tool that the project has installed.
 * Node.js itself is the last resort, because it supports neither decorators nor imports without a file ending.
 */
export async function loadModule(file: string): Promise<object> {
  if (!/\.[cm]?ts$/.test(file)) return importFile(file)
  const isEsm = isEsModule(file)
  // A loader from `node --require` handles only `require`.
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
      `--dataSource: this Node.js does not read ${path.basename(file)} (${(error as Error).message}), and none of ${TOOLS.join(', ')} is installed beside it. Install one, or pass the compiled file.`,
      ExitCode.usage,
      { cause: error },
    )
  }
}

async function importFile(file: string): Promise<object> {
  return (await import(pathToFileURL(file).href)) as object
}

/**
 * Whether this process was started with such a tool (`NODE_OPTIONS`, `node --import`). A Node.js that handles .ts
 * itself does not count.
 */
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

/** Decides by the file ending, otherwise by `type` in the nearest package.json. */
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
