import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { promisify } from 'node:util'
import type * as Library from '../../src/index.js'

/** Where worker processes find the build; also a way to measure another one. */
const variable = 'NAMED_LOCK_BENCH_LIBRARY'
const root = path.join(__dirname, '../..')

/**
 * Compiles the library as it is published. What tsx makes of the sources is some percent slower: it gives every inner
 * function its name each time it is created.
 */
export async function buildLibrary(): Promise<void> {
  if (process.env[variable]) return
  const folder = path.join(root, '.cache', 'bench-library')
  await rm(folder, { recursive: true, force: true })
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const args = [compiler, '-p', 'tsconfig.build.json', '--outDir', folder]
  await promisify(execFile)(process.execPath, args, { cwd: root }).catch((error: { stdout?: string }) => {
    throw new Error(`The library does not compile:\n${error.stdout}`, { cause: error })
  })
  process.env[variable] = folder
}

/** The build; worker processes inherit where it is. */
export function builtLibrary(): typeof Library {
  const folder = process.env[variable]
  if (!folder) throw new Error('The library has not been built yet')
  return createRequire(__filename)(path.join(folder, 'index.js')) as typeof Library
}
