import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import type { PrivateApt } from './apt.js'
import { cachedFolder } from './cache-folder.js'
import type { DebianRelease } from './chosen-version.js'
import { dynamicLoader } from './dynamic-loader.js'
import type { ServerProgram } from './engine.js'
import { packageSource, sourceOfRelease } from './package-source.js'
import { isPartOfPostgres, makePostgresRun, postgresIn } from './packaged-postgres.js'
import { programVersion } from './program-version.js'
import { run } from './run.js'
import { WayNotOpen, type Log, type ServerKind } from './server-types.js'

/** Increase it when the layout of the cached folder changes. */
const layout = 2

/** Not part of any server, and a large part of the packages. */
const ballast = ['share/doc', 'share/man', 'share/perl', 'share/locale', 'share/i18n'].map((name) => `usr/${name}`)

/** The name of the server's package; a version may follow. */
const packages: Readonly<Record<ServerKind, string>> = {
  mysql: 'mysql-server-core',
  mariadb: 'mariadb-server-core',
  postgres: 'postgresql',
}

/** In older releases, MariaDB's folders are named after MySQL. */
const pluginFolders = ['usr/lib/mariadb/plugin', 'usr/lib/mysql/plugin'] as const
const shareFolders = ['usr/share/mariadb', 'usr/share/mysql'] as const

/**
 * A server from Debian's or Ubuntu's packages, unpacked into the cache and not installed: of this machine's release, or
 * of another release of Debian.
 */
export async function packagedProgram(
  kind: ServerKind,
  release: DebianRelease | undefined,
  log: Log,
): Promise<ServerProgram> {
  if (!existsSync('/usr/bin/apt-get') || !existsSync('/usr/bin/dpkg-deb')) {
    throw new WayNotOpen('only on Debian and Ubuntu')
  }
  const name = `programs/${kind}-${process.arch}-${release === undefined ? '' : `${release}-`}v${layout}`
  const folder = await cachedFolder(name, async (unfinished) => {
    const packagesOf = release === undefined ? "the distribution's packages" : `the packages of Debian ${release}`
    log(`Unpacking a ${kind} server from ${packagesOf}, once, without installing it`)
    const work = path.join(unfinished, 'work')
    await fetchInto(path.join(unfinished, 'tree'), work, kind, release, log)
    await rm(work, { recursive: true })
  })
  const tree = path.join(folder, 'tree')
  return kind === 'postgres' ? postgresIn(tree) : programIn(kind, tree)
}

async function fetchInto(
  tree: string,
  work: string,
  kind: ServerKind,
  release: DebianRelease | undefined,
  log: Log,
): Promise<void> {
  const { apt, name } = await sourceOf(kind, work, release, log)
  const archives = await apt.download(name, kind === 'postgres' ? isPartOfPostgres : undefined)
  log('Unpacking')
  await mkdir(tree)
  for (const archive of archives) {
    if (!/^(lib)?perl/.test(path.basename(archive))) await run(['dpkg-deb', '-x', archive, tree])
  }
  for (const folder of ballast) await rm(path.join(tree, folder), { recursive: true, force: true })
  if (kind === 'postgres') await makePostgresRun(tree, await dynamicLoader(tree))
  else if (!firstOf(tree, pluginFolders)) await fetchPlugins(apt, name.replace('-core', ''), tree, work)
}

/** The repository with the server, and the package's name in it. */
async function sourceOf(
  kind: ServerKind,
  work: string,
  release: DebianRelease | undefined,
  log: Log,
): Promise<{ apt: PrivateApt; name: string }> {
  const apt = await packageSource(work, release, log)
  const name = await nameIn(apt, kind)
  if (name !== undefined) return { apt, name }
  const wanted = packages[kind]
  // A chosen release must not become another one.
  if (release !== undefined) throw new Error(`Debian ${release} has no ${wanted}`)
  log(`This release has no ${wanted}: taking it from Debian unstable`)
  return { apt: await sourceOfRelease(apt, work, 'sid', log), name: wanted }
}

async function nameIn(apt: PrivateApt, kind: ServerKind): Promise<string | undefined> {
  const wanted = packages[kind]
  // The package without a version in its name (Debian's MariaDB), or the newest one with a version
  // (`mysql-server-core-8.0`, Ubuntu).
  const names = (await apt.find(wanted)).filter((found) => /^(-[\d.]+)?$/.test(found.slice(wanted.length)))
  // PostgreSQL's package without a version only depends on that of the release.
  return (kind !== 'postgres' && names.find((found) => found === wanted)) || names.at(-1)
}

/**
 * MariaDB's plugins are in the package around the core, which depends on much more than a server on a loopback port
 * needs.
 */
async function fetchPlugins(apt: PrivateApt, name: string, tree: string, work: string): Promise<void> {
  const whole = path.join(work, 'whole')
  await mkdir(whole)
  for (const archive of await apt.downloadAlone(name)) await run(['dpkg-deb', '-x', archive, whole])
  for (const folder of pluginFolders.filter((each) => existsSync(path.join(whole, each)))) {
    await mkdir(path.dirname(path.join(tree, folder)), { recursive: true })
    await rename(path.join(whole, folder), path.join(tree, folder))
  }
}

async function programIn(kind: 'mysql' | 'mariadb', tree: string): Promise<ServerProgram> {
  const server = path.join(tree, 'usr/sbin', kind === 'mysql' ? 'mysqld' : 'mariadbd')
  const { loader, libraries } = await dynamicLoader(tree)
  const command = [loader, '--library-path', libraries.join(':'), server] as const
  const shareDir = firstOf(tree, shareFolders)
  const pluginDir = firstOf(tree, pluginFolders)
  if (shareDir === undefined) throw new Error(`no ${shareFolders.join(' or ')} in ${tree}`)
  return {
    kind,
    version: await programVersion(command),
    file: server,
    command,
    locationArgs: [
      `--basedir=${path.join(tree, 'usr')}`,
      ...(pluginDir === undefined ? [] : [`--plugin-dir=${pluginDir}`]),
      `--lc-messages-dir=${shareDir}`,
      `--character-sets-dir=${path.join(shareDir, 'charsets')}`,
    ],
    shareDir,
  }
}

function firstOf(tree: string, folders: readonly string[]): string | undefined {
  return folders.map((folder) => path.join(tree, folder)).find((folder) => existsSync(folder))
}
