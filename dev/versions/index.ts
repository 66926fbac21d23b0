import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, readFile } from 'node:fs/promises'
import path from 'node:path'
import { cachedFolder } from '../servers/cache-folder.js'
import { run } from '../servers/run.js'

const files = ['package.json', 'package-lock.json', '.npmrc'] as const

/** What package.json of this folder lists, in a folder of the cache: some 500 MB, fetched once. */
async function installed(): Promise<string> {
  const lock = await readFile(path.join(__dirname, 'package-lock.json'))
  const hash = createHash('sha256').update(lock).digest('hex').slice(0, 12)
  const folder = await cachedFolder(`versions-${process.platform}-${process.arch}-${hash}`, async (unfinished) => {
    for (const file of files) await cp(path.join(__dirname, file), path.join(unfinished, file))
    await run(['npm', 'ci', '--no-audit', '--no-fund'], { cwd: unfinished })
  })
  return path.join(folder, 'node_modules')
}

/** The folder of a package by its name there, such as `typescript-5.4`. */
export async function otherVersion(name: string): Promise<string> {
  return path.join(await installed(), name)
}

/** Another Node.js; undefined where the registry has none for this platform. */
export async function otherNode(major: number): Promise<string | undefined> {
  const folder = await otherVersion(`node-${major}-${process.platform}-${process.arch}`)
  const file = path.join(folder, 'bin/node')
  return existsSync(file) ? file : undefined
}
