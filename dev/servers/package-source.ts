import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { PrivateApt, type DebianMirror } from './apt.js'
import type { DebianRelease } from './chosen-version.js'
import type { Log } from './server-types.js'

/**
 * The packages of a Debian release, or those of this machine's own sources; `work` holds the state of the package
 * manager.
 */
export async function packageSource(work: string, release: DebianRelease | undefined, log: Log): Promise<PrivateApt> {
  await mkdir(work, { recursive: true })
  const own = await PrivateApt.create(path.join(work, 'own'), log)
  await own.update()
  return release === undefined ? own : sourceOfRelease(own, work, release, log)
}

/** The packages of a Debian release, from the mirrors that `own` uses. */
export async function sourceOfRelease(
  own: PrivateApt,
  work: string,
  release: DebianRelease,
  log: Log,
): Promise<PrivateApt> {
  const lines = sourceLines(await own.debianMirrors(), release)
  if (lines.length === 0)
    throw new Error(`no package source of this machine is a mirror of Debian, which has ${release}`)
  const apt = await PrivateApt.create(path.join(work, release), log, lines)
  await apt.update()
  return apt
}

/** The lines of a sources.list for a release. Sid has no security updates: its packages are the newest anyway. */
export function sourceLines(mirrors: readonly DebianMirror[], release: DebianRelease): string[] {
  return mirrors
    .filter(({ security }) => !security || release !== 'sid')
    .map(({ uri, signedBy, security }) => {
      const options = signedBy === undefined ? '' : `[signed-by=${signedBy}] `
      return `deb ${options}${uri} ${release}${security ? '-security' : ''} main`
    })
}
