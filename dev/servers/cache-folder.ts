import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

const oneHour = 3_600_000
const underWay = new Map<string, Promise<string>>()

/** Unpacked packages and fresh data folders are kept here. `NAMED_LOCK_CACHE` moves it. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache')
  return path.resolve(process.env.NAMED_LOCK_CACHE || path.join(base, 'typeorm-named-lock'))
}

/**
 * Returns the folder of this name, and fills it at the first request. It is filled under another name and then renamed,
 * so that a folder under its own name is always complete, even after an interruption. If two processes fill it at the
 * same time, the second one discards its copy.
 */
export async function cachedFolder(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const finished = path.join(cacheFolder(), name)
  if (existsSync(finished)) return finished
  let filling = underWay.get(finished)
  if (!filling) {
    filling = fillBeside(finished, fill).finally(() => underWay.delete(finished))
    underWay.set(finished, filling)
  }
  return filling
}

async function fillBeside(finished: string, fill: (folder: string) => Promise<void>): Promise<string> {
  await mkdir(path.dirname(finished), { recursive: true })
  await removeLeftovers(path.dirname(finished))
  const unfinished = await mkdtemp(`${finished}.unfinished-`)
  try {
    await fill(unfinished)
    await rename(unfinished, finished).catch((error: NodeJS.ErrnoException) => {
      if (!existsSync(finished)) throw error
    })
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
  return finished
}

async function removeLeftovers(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.includes('.unfinished-')) continue
    const folder = path.join(parent, name)
    const age = await stat(folder).then(
      (info) => Date.now() - info.mtimeMs,
      () => 0, // its owner has just removed it
    )
    if (age > oneHour) await rm(folder, { recursive: true, force: true })
  }
}
