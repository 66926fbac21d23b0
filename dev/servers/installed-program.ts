import { existsSync } from 'node:fs'
import { readdir, realpath } from 'node:fs/promises'
import path from 'node:path'
import type { ServerProgram } from './engine.js'
import { programVersion } from './program-version.js'
import { run } from './run.js'
import { WayNotOpen, type ServerKind } from './server-types.js'
import { unprivilegedUser } from './unprivileged-user.js'

const executables: Readonly<Record<ServerKind, readonly string[]>> = {
  mysql: ['mysqld'],
  mariadb: ['mariadbd', 'mysqld'],
  postgres: ['postgres'],
}

/** The usual folders of servers, which are seldom in a user's PATH. */
const usualFolders = [
  '/usr/sbin',
  '/usr/local/sbin',
  '/usr/bin',
  '/usr/local/bin',
  '/usr/libexec',
  '/usr/local/mysql/bin',
  '/opt/homebrew/opt/mysql/bin',
  '/opt/homebrew/opt/mariadb/bin',
  '/opt/homebrew/bin',
]

/** The server installed on this machine: its program only, never its configuration or its data. */
export async function installedProgram(kind: ServerKind): Promise<ServerProgram> {
  if (process.platform === 'win32') throw new WayNotOpen('not on Windows')
  const folders = [
    ...(process.env.PATH ?? '').split(path.delimiter),
    ...usualFolders,
    ...(await versionedFolders(kind)),
  ]
  for (const folder of new Set(folders)) {
    for (const name of executables[kind]) {
      const file = path.join(folder, name)
      if (!path.isAbsolute(folder) || !existsSync(file)) continue
      const program = await programAt(kind, await realpath(file))
      if (program) return program
    }
  }
  throw new WayNotOpen(`no ${executables[kind].join(' or ')} on this machine`)
}

/** Undefined if it is the other server of the same name, or not executable. */
async function programAt(kind: ServerKind, file: string): Promise<ServerProgram | undefined> {
  const version = await programVersion([file]).catch(() => undefined)
  if (version === undefined || (kind === 'mysql' && /mariadb/i.test(version))) return undefined
  if (kind === 'mariadb' && !/mariadb/i.test(version)) return undefined
  return {
    kind,
    version,
    file,
    command: [file],
    locationArgs: [],
    shareDir: kind === 'mariadb' ? await mariadbShareDir(file) : undefined,
    user: kind === 'postgres' ? await unprivilegedUser() : undefined,
  }
}

/** Debian and Ubuntu keep PostgreSQL's versions side by side; the newest comes first. */
async function versionedFolders(kind: ServerKind): Promise<string[]> {
  const parent = '/usr/lib/postgresql'
  if (kind !== 'postgres' || !existsSync(parent)) return []
  const versions = (await readdir(parent)).sort((a, b) => Number(b) - Number(a))
  return versions.map((version) => path.join(parent, version, 'bin'))
}

async function mariadbShareDir(file: string): Promise<string | undefined> {
  const settings = await run([file, '--no-defaults', '--user=root', '--verbose', '--help'])
  const basedir = /^basedir\s+(\S+)/m.exec(settings)?.[1] ?? path.join(path.dirname(file), '..')
  const candidates = ['share/mariadb', 'share/mysql', 'share'].map((name) => path.join(basedir, name))
  return candidates.find((folder) => existsSync(path.join(folder, 'maria_add_gis_sp_bootstrap.sql')))
}
