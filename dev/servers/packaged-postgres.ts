import { existsSync } from 'node:fs'
import { chmod, readdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { DynamicLoader } from './dynamic-loader.js'
import type { ServerProgram } from './engine.js'
import { programVersion } from './program-version.js'
import { unprivilegedUser } from './unprivileged-user.js'

/**
 * The server's own package and its libraries, without Perl, the scripts around the server, and LLVM for long queries.
 */
export function isPartOfPostgres(name: string): boolean {
  return /^postgresql-\d+$|^lib(?!perl|llvm|z3)/.test(name) && !name.endsWith('-perl')
}

/**
 * `initdb` starts `postgres` itself, and both find their files relative to their own path. A script therefore replaces
 * each of them and starts it through the loader of the packages' C library, in any folder.
 */
export async function makePostgresRun(tree: string, { loader, libraries }: DynamicLoader): Promise<void> {
  const bin = await binIn(tree)
  const fromScript = (file: string): string => `"$here/${path.relative(bin, file)}"`
  for (const name of ['postgres', 'initdb']) {
    const file = path.join(bin, name)
    await rename(file, `${file}.program`)
    const script = [
      '#!/bin/sh',
      'here="${0%/*}"',
      `exec ${fromScript(loader)} --library-path ${libraries.map(fromScript).join(':')} "$here/${name}.program" "$@"`,
    ]
    await writeFile(file, `${script.join('\n')}\n`)
    await chmod(file, 0o755) // independent of the umask, because another user runs the server
  }
  // Without LLVM the module cannot be loaded, but the server would try.
  for (const name of ['llvmjit.so', 'bitcode']) {
    await rm(path.join(bin, '../lib', name), { recursive: true, force: true })
  }
}

export async function postgresIn(tree: string): Promise<ServerProgram> {
  const file = path.join(await binIn(tree), 'postgres')
  return {
    kind: 'postgres',
    version: await programVersion([file]),
    file,
    command: [file],
    locationArgs: [],
    tree,
    user: await unprivilegedUser(),
  }
}

async function binIn(tree: string): Promise<string> {
  const parent = path.join(tree, 'usr/lib/postgresql')
  const [version] = existsSync(parent) ? await readdir(parent) : []
  if (version === undefined) throw new Error(`no PostgreSQL in ${tree}`)
  return path.join(parent, version, 'bin')
}
