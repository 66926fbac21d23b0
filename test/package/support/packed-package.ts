import { rmSync } from 'node:fs'
import { copyFile, cp, mkdir, mkdtemp, readdir, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { run } from '../../../dev/servers/run.js'

export const root = path.join(__dirname, '../../..')

export interface PackedPackage {
  /** The tarball that would be published. */
  readonly tarball: string
  readonly files: readonly { readonly path: string; readonly size: number }[]
  /** The size of the tarball, and of its contents, in bytes. */
  readonly size: number
  readonly unpackedSize: number
}

let packing: Promise<PackedPackage & { folder: string }> | undefined

/** Builds and packs the package, once for all tests. */
export function packedPackage(): Promise<PackedPackage & { folder: string }> {
  return (packing ??= pack())
}

async function pack(): Promise<PackedPackage & { folder: string }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'named-lock-package-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  // In a separate folder: it must not include an older build, and other tests may pack at the same time.
  const source = path.join(folder, 'source')
  await mkdir(source)
  for (const file of ['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE'])
    await copyFile(path.join(root, file), path.join(source, file))
  const isSite = (name: string): boolean => /^(\.vitepress|api)$/.test(path.basename(name))
  await cp(path.join(root, 'docs'), path.join(source, 'docs'), { recursive: true, filter: (name) => !isSite(name) })
  await run(['npm', 'run', 'build', '--', '--outDir', path.join(source, 'dist')], { cwd: root })
  const output = await run(['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: source })
  // npm prints warnings before the JSON, and some versions also after it.
  const [details] = JSON.parse(output.slice(output.indexOf('[\n'), output.lastIndexOf(']') + 1)) as [
    PackedPackage & { filename: string },
  ]
  return { ...details, folder, tarball: path.join(folder, details.filename) }
}

/** A folder with the package installed as npm would, and beside it links to other packages (name → folder). */
export async function consumer(packages: Readonly<Record<string, string>>): Promise<string> {
  const { folder, tarball } = await packedPackage()
  const home = await mkdtemp(path.join(folder, 'consumer-'))
  const modules = path.join(home, 'node_modules')
  const unpacked = path.join(modules, 'typeorm-named-lock')
  await mkdir(unpacked, { recursive: true })
  await run(['tar', '-xzf', tarball, '--strip-components=1', '-C', unpacked])
  for (const [name, target] of Object.entries(packages)) {
    await mkdir(path.dirname(path.join(modules, name)), { recursive: true })
    await symlink(target, path.join(modules, name))
  }
  return home
}

/** Packages of this project's own node_modules, for `consumer`. */
export function own(...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, path.join(root, 'node_modules', name)]))
}

export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name))
}
