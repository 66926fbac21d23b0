import { createRequire } from 'node:module'
import path from 'node:path'
import { cachedFolder } from '../../dev/servers/cache-folder.js'
import { attempt, type Command } from '../../dev/servers/run.js'

const VERSIONS = ['pg@8', 'pg-native@3'] as const

/**
 * The options of a DataSource with pg-native, which TypeORM uses if it is installed. Undefined if it cannot be built
 * (it needs a compiler and libpq's headers). It is built once, into the cache.
 */
export async function nativeDriver(): Promise<object | undefined> {
  const folder = await cachedFolder(`npm/pg-native-${process.versions.modules}`, async (into) => {
    const install = ['npm', 'install', '--prefix', into, '--no-audit', '--no-fund', '--ignore-scripts', ...VERSIONS]
    for (const command of [
      install,
      ['npx', '--yes', 'node-gyp', 'rebuild', '-C', path.join(into, 'node_modules/libpq')],
    ]) {
      const { code, output } = await attempt(command as unknown as Command)
      if (code !== 0) throw new Error(`${command.join(' ')}: ${output}`)
    }
  }).catch(() => undefined)
  if (folder === undefined) return undefined
  const driver: unknown = createRequire(path.join(folder, 'package.json'))('pg')
  return { driver, nativeDriver: true }
}
