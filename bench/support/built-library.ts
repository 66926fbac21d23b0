import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { promisify } from 'node:util'
import type * as Library from '../../src/index.js'

/** The environment variable with the folder of the build, for worker processes. Set it to measure another build. */
const variable = 'NAMED_LOCK_BENCH_LIBRARY'
const root = path.join(__dirname, '../..')

/**
 * Compiles the library as it is published. The output of tsx is some percent slower, because it sets the name of every
 * inner function each time it is created.
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

/** The build; worker processes inherit its folder. */
export function builtLibrary(): typeof Library {
  const folder = process.env[variable]
  if (!folder) throw new Error('The library has not been built yet')
  return createRequire(__filename)(path.join(folder, 'index.js')) as typeof Library
}
