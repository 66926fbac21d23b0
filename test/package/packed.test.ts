import { expect } from 'chai'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { sharedServer } from '../support/servers.js'

const run = promisify(execFile)
const root = resolve(import.meta.dirname ?? __dirname, '../..')

const PROGRAM = `
async function main() {
  const dataSource = await new DataSource({ type: 'mysql', url: process.env.DATABASE_URL }).initialize()
  const locks = new NamedLockService(dataSource)
  class Jobs {
    constructor(locks) { this.locks = locks }
    async run() { return NamedLock.assertHeld('jobs').isHeld }
  }
  const descriptor = Object.getOwnPropertyDescriptor(Jobs.prototype, 'run')
  Object.defineProperty(Jobs.prototype, 'run', WithNamedLock('jobs', '5s')(Jobs.prototype, 'run', descriptor))
  console.log(JSON.stringify({
    held: await new Jobs(locks).run(),
    again: await locks.isLocked('jobs'),
    error: await locks.withLock('', () => {}).catch((error) => error instanceof InvalidLockNameError && error.code),
  }))
  await locks.close()
  await dataSource.destroy()
}
main()
`

describe('the packed package', function () {
  this.timeout(120_000)
  let folder: string
  let url: string

  before('build, pack and unpack it', async () => {
    folder = await mkdtemp(join(tmpdir(), 'named-lock-package-'))
    await run('npm', ['run', 'build'], { cwd: root })
    await run('npm', ['pack', '--pack-destination', folder, '--ignore-scripts'], { cwd: root })
    const tarball = (await readdir(folder)).find((file) => file.endsWith('.tgz')) as string
    const modules = join(folder, 'node_modules')
    await mkdir(join(modules, 'typeorm-named-lock'), { recursive: true })
    await run('tar', ['-xzf', join(folder, tarball), '--strip-components=1', '-C', join(modules, 'typeorm-named-lock')])
    for (const name of ['typeorm', 'mysql2', 'reflect-metadata', '@types']) {
      await symlink(join(root, 'node_modules', name), join(modules, name))
    }
    url = (await sharedServer('mysql')).url
  })

  after(async () => rm(folder, { recursive: true, force: true }))

  async function output(file: string, text: string): Promise<unknown> {
    await writeFile(join(folder, file), text)
    const { stdout } = await run(process.execPath, [file], { cwd: folder, env: { ...process.env, DATABASE_URL: url } })
    return JSON.parse(stdout)
  }

  const right = { held: true, again: false, error: 'INVALID_NAME' }

  it('works when it is required', async () => {
    const text = `const { DataSource } = require('typeorm')
const { NamedLockService, NamedLock, WithNamedLock, InvalidLockNameError } = require('typeorm-named-lock')
${PROGRAM}`
    expect(await output('consumer.cjs', text)).to.deep.equal(right)
  })

  it('works when it is imported by name', async () => {
    const text = `import { DataSource } from 'typeorm'
import { NamedLockService, NamedLock, WithNamedLock, InvalidLockNameError } from 'typeorm-named-lock'
${PROGRAM}`
    expect(await output('consumer.mjs', text)).to.deep.equal(right)
  })

  it('gives both kinds of modules the same classes', async () => {
    const text = `import { createRequire } from 'node:module'
import * as imported from 'typeorm-named-lock'
const required = createRequire(import.meta.url)('typeorm-named-lock')
console.log(JSON.stringify({ same: required.NamedLockService === imported.NamedLockService, names: Object.keys(required).sort() }))`
    const { same, names } = (await output('same.mjs', text)) as { same: boolean; names: string[] }
    expect(same).to.equal(true)
    expect(names).to.deep.equal([
      'InvalidLockNameError',
      'NamedLock',
      'NamedLockClosedError',
      'NamedLockConfigurationError',
      'NamedLockDeadlockError',
      'NamedLockError',
      'NamedLockInsideTransactionError',
      'NamedLockLostError',
      'NamedLockReentrancyError',
      'NamedLockService',
      'NamedLockTimeoutError',
      'UnsupportedDriverError',
      'WithNamedLock',
      'parseDuration',
    ])
  })

  for (const module of ['nodenext', 'commonjs'] as const) {
    it(`has types for TypeScript (${module})`, async () => {
      await writeFile(
        join(folder, 'consumer.ts'),
        `import { DataSource } from 'typeorm'
import { NamedLockService, WithNamedLock, type NamedLock } from 'typeorm-named-lock'
class Orders {
  constructor(private readonly locks: NamedLockService) {}
  @WithNamedLock((id) => \`order:\${id.toFixed()}\`, '5s') async pay(id: number): Promise<number> { return id }
  // @ts-expect-error not a promise
  @WithNamedLock('x') sync(): number { return 1 }
}
export const orders = new Orders(new NamedLockService(new DataSource({ type: 'mysql' })))
export const use = (lock: NamedLock): boolean => lock.isHeld
`,
      )
      const resolution = module === 'commonjs' ? ['--moduleResolution', 'node10', '--ignoreDeprecations', '6.0'] : []
      const flags = ['--strict', '--target', 'es2022', '--lib', 'es2022', '--experimentalDecorators', '--types', 'node']
      const tsc = join(root, 'node_modules/typescript/bin/tsc')
      const all = [tsc, '--noEmit', '--module', module, ...resolution, ...flags, '--skipLibCheck', 'consumer.ts']
      const result = await run(process.execPath, all, { cwd: folder }).catch((error: { stdout: string }) => error)
      expect(result.stdout).to.equal('')
    })
  }

  it('contains what it should and nothing else', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root })
    const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }]
    const others = files.map(({ path }) => path).filter((path) => !/^dist\/.*\.(js|d\.ts)$/.test(path))
    expect(others.sort()).to.deep.equal(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
  })
})
