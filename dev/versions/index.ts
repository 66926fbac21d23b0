import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, readFile } from 'node:fs/promises'
import path from 'node:path'
import { cachedFolder } from '../servers/cache-folder.js'
import { run } from '../servers/run.js'

const files = ['package.json', 'package-lock.json', '.npmrc'] as const

/**
 * The packages listed in the package.json of that folder, in a folder of the cache (some 500 MB for this folder),
 * fetched once.
 */
async function installed(from = __dirname): Promise<string> {
  const lock = await readFile(path.join(from, 'package-lock.json'))
  const hash = createHash('sha256').update(lock).digest('hex').slice(0, 12)
  const folder = await cachedFolder(`versions-${process.platform}-${process.arch}-${hash}`, async (unfinished) => {
    for (const file of files) await cp(path.join(from, file), path.join(unfinished, file))
    await run(['npm', 'ci', '--no-audit', '--no-fund'], { cwd: unfinished })
  })
  return path.join(folder, 'node_modules')
}

/** The folder of a package by its name in the package.json, such as `typescript-5.4`. */
export async function otherVersion(name: string): Promise<string> {
  return path.join(await installed(), name)
}

/** Another Node.js; undefined if the registry has none for this platform. */
export async function otherNode(major: number): Promise<string | undefined> {
  const folder = await otherVersion(`node-${major}-${process.platform}-${process.arch}`)
  const file = path.join(folder, 'bin/node')
  return existsSync(file) ? file : undefined
}

/** The node_modules with another NestJS and the matching TypeORM. */
export function otherNest(major: 10 | 12): Promise<string> {
  return installed(path.join(__dirname, `nest-${major}`))
}

/** The node_modules with the test runners, for the tests of fake timers. */
export function testRunners(): Promise<string> {
  return installed(path.join(__dirname, 'test-runners'))
}
