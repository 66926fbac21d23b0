import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { chown, cp, mkdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { cachedFolder } from './cache-folder.js'
import type { Engine, ServerProgram } from './engine.js'
import { run } from './run.js'
import type { Log } from './server-types.js'

/** Increase it when `initialise` of an engine changes. */
const layout = 2

/** Puts a fresh database into `dataDir`. Creating one takes seconds, so it is created once and then copied. */
export async function freshDataDir(
  engine: Engine,
  program: ServerProgram,
  dataDir: string,
  log: Log,
  args: readonly string[],
): Promise<void> {
  const initialArgs = engine.initialArgs?.(args) ?? []
  const copy = { recursive: true, mode: constants.COPYFILE_FICLONE }
  let created = false
  const template = await cachedFolder(await templateName(program, initialArgs), async (unfinished) => {
    // Created here and not in the cache, which the program's user may not be able to read.
    await mkdir(dataDir, { mode: 0o700 })
    if (program.user) await chown(dataDir, program.user.uid, program.user.gid)
    await engine.initialise(program, dataDir, log, initialArgs)
    created = true
    await cp(dataDir, path.join(unfinished, 'data'), copy)
  })
  if (created) return
  await cp(path.join(template, 'data'), dataDir, copy)
  if (program.user) await run(['chown', '-R', `${program.user.uid}:${program.user.gid}`, dataDir])
}

async function templateName({ kind, version, file }: ServerProgram, args: readonly string[]): Promise<string> {
  const { size, mtimeMs } = await stat(file)
  const hash = createHash('sha256')
    .update([version, file, size, mtimeMs, ...args].join(' '))
    .digest('hex')
  return `databases/${kind}-${hash.slice(0, 12)}-v${layout}`
}
