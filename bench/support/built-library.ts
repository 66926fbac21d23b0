import { execFile } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { promisify } from 'node:util'
import type * as LibraryModule from '../../src/index.js'

export type Library = typeof LibraryModule

/** The environment variable with the folder of the build, for worker processes. Set it to measure another build. */
const variable = 'NAMED_LOCK_BENCH_LIBRARY'
const root = path.join(__dirname, '../..')
const execute = promisify(execFile)

/**
 * Compiles the library as it is published. The output of tsx is some percent slower, because it sets the name of every
 * inner function each time it is created.
 */
export async function buildLibrary(): Promise<void> {
  if (process.env[variable]) return
  const folder = path.join(root, '.cache', 'bench-library')
  await compile(root, folder)
  process.env[variable] = folder
}

/** The build; worker processes inherit its folder. */
export function builtLibrary(): Library {
  const folder = process.env[variable]
  if (!folder) throw new Error('The library has not been built yet')
  return load(folder)
}

/** Compiles another version: a commit, or the working tree. Its dependencies are those that are installed now. */
export async function buildVersion(label: string, commit: string | undefined): Promise<Library> {
  const folder = path.join(root, '.cache', `bench-${label}`)
  const source = path.join(folder, 'source')
  await rm(folder, { recursive: true, force: true })
  await mkdir(source, { recursive: true })
  if (commit === undefined) await compile(root, path.join(folder, 'dist'))
  else {
    const archive = path.join(folder, 'source.tar')
    await execute('git', ['archive', '--output', archive, commit, 'src', 'tsconfig.json', 'tsconfig.build.json'], {
      cwd: root,
    })
    await execute('tar', ['-xf', archive, '-C', source])
    await compile(source, path.join(folder, 'dist'))
  }
  return load(path.join(folder, 'dist'))
}

async function compile(source: string, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const args = [compiler, '-p', 'tsconfig.build.json', '--outDir', folder]
  await execute(process.execPath, args, { cwd: source }).catch((error: { stdout?: string }) => {
    throw new Error(`The library does not compile:\n${error.stdout}`, { cause: error })
  })
}

function load(folder: string): Library {
  return createRequire(__filename)(path.join(folder, 'index.js')) as Library
}
