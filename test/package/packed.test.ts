import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import { run } from '../../dev/servers/run.js'
import * as library from '../../src/index.js'
import { sharedServer } from '../support/servers.js'
import { consumer, own, packedPackage, root, type PackedPackage } from './support/packed-package.js'

const { version: typeormVersion } = JSON.parse(
  readFileSync(path.join(root, 'node_modules/typeorm/package.json'), 'utf8'),
) as { version: string }
const smoke = path.join(root, 'test/package/consumers/smoke.cjs')

describe('the packed package', function () {
  this.timeout(120_000)
  let packed: PackedPackage
  let home: string
  let url: string

  before('build, pack and unpack it', async () => {
    packed = await packedPackage()
    home = await consumer(own('typeorm', 'mysql2', 'commander', 'reflect-metadata'))
    url = (await sharedServer('mysql')).url
  })

  it('has the code, its declarations, the documents and four texts, and nothing else', () => {
    const others = packed.files.filter(
      ({ path }) => !/^(dist\/[\w/-]+\.(js|d\.ts)|docs\/([\w-]+\.md|llms\.txt))$/.test(path),
    )
    // Error messages end in an address on this page, and it links to the others.
    expect(packed.files.map(({ path }) => path)).to.include('docs/troubleshooting.md')
    expect(others.map(({ path }) => path).sort()).to.deep.equal([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'package.json',
    ])
    const code = packed.files.filter(({ path }) => path.endsWith('.js'))
    for (const { path } of code) {
      const declarations = path.replace(/js$/, 'd.ts')
      expect(packed.files.some((file) => file.path === declarations)).to.equal(true, declarations)
    }
  })

  it('stays small', () => {
    const { size, unpackedSize } = packed
    // Printed to show in the log how much a change adds.
    console.log(`      ${(size / 1000).toFixed(0)} kB packed, ${(unpackedSize / 1000).toFixed(0)} kB unpacked`)
    expect(size).to.be.below(500_000)
    expect(unpackedSize).to.be.below(2_000_000)
  })

  it('requires only its declared dependencies at run time', async () => {
    const manifest = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as Record<string, object>
    const named = new Set(Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }))
    for (const file of packed.files.filter(({ path }) => path.endsWith('.js'))) {
      const text = await readFile(path.join(home, 'node_modules/typeorm-named-lock', file.path), 'utf8')
      for (const [, from] of text.matchAll(/\b(?:require|import)\(["']([^."'][^"']*)["']\)/g)) {
        const name = from!.split('/', from!.startsWith('@') ? 2 : 1).join('/')
        if (!name.startsWith('node:')) expect(named, `${file.path} needs ${name}`).to.include(name)
      }
    }
  })

  const right = {
    versions: [process.versions.node, typeormVersion],
    decorated: true,
    freeAfter: true,
    several: ['a', 'b'],
    transaction: true,
    error: 'INVALID_NAME',
  }

  async function output(file: string, text: string): Promise<unknown> {
    await writeFile(path.join(home, file), text)
    return JSON.parse(await run([process.execPath, file], { cwd: home, env: { DATABASE_URL: url } }))
  }

  it('works by require', async () => {
    expect(await output('consumer.cjs', await readFile(smoke, 'utf8'))).to.deep.equal(right)
  })

  it('works by named imports', async () => {
    const text = (await readFile(smoke, 'utf8')).replace(/^const (\{.*\}) = require\((.*)\)$/gm, 'import $1 from $2')
    expect(text).to.include("} from 'typeorm-named-lock'").and.not.include('require(')
    expect(await output('consumer.mjs', text)).to.deep.equal(right)
  })

  it('gives both kinds of modules the same classes', async () => {
    const text = `import { createRequire } from 'node:module'
import * as imported from 'typeorm-named-lock'
const required = createRequire(import.meta.url)('typeorm-named-lock')
const isSame = Object.keys(required).every((name) => required[name] === imported[name])
console.log(JSON.stringify({ isSame, names: Object.keys(required).sort() }))`
    expect(await output('same.mjs', text)).to.deep.equal({ isSame: true, names: Object.keys(library).sort() })
  })

  it('has a working command', async () => {
    const file = path.join(home, 'node_modules/typeorm-named-lock/dist/cli/main.js')
    expect(await run([process.execPath, file, '--help'])).to.include('Usage: named-lock')
  })
})
