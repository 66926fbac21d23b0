import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { execFile } from 'node:child_process'
import { run } from '../../dev/servers/run.js'
import { otherNest } from '../../dev/versions/index.js'
import { sharedServer } from '../support/servers.js'

const root = path.join(__dirname, '../..')
const tsc = path.join(root, 'node_modules/typescript/bin/tsc')

/** One application for all versions, compiled with each one's types by the compiler that emits decorator metadata. */
const compilerOptions = {
  target: 'es2022',
  module: 'nodenext',
  types: ['node'],
  strict: true,
  skipLibCheck: true,
  esModuleInterop: true,
  experimentalDecorators: true,
  emitDecoratorMetadata: true,
}

describe('a Nest application', function () {
  this.timeout(300_000)
  let folder: string
  let url: string

  before('build the package', async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'named-lock-nest-'))
    await run([process.execPath, tsc, '-p', 'tsconfig.build.json', '--outDir', path.join(folder, 'dist')], {
      cwd: root,
    })
    url = (await sharedServer('mysql')).url
  })
  after(() => rm(folder, { recursive: true, force: true }))

  for (const [major, files] of [
    [10, ['app.ts']],
    [11, ['app.ts']],
    [12, ['app.ts', 'app.mts']],
  ] as const) {
    it(`works with NestJS ${major}, ${files.length === 1 ? 'CommonJS' : 'CommonJS and ES modules'}`, async () => {
      const modules = major === 11 ? path.join(root, 'node_modules') : await otherNest(major)
      const app = await consumer(`nest-${major}`, modules, files)
      await run([process.execPath, tsc, '-p', app], { cwd: app })
      for (const file of files) {
        const { stdout } = await promisify(execFile)(process.execPath, [file.replace('ts', 'js')], {
          cwd: app,
          env: { ...process.env, DATABASE_URL: url },
          timeout: 120_000,
        })
        expect(JSON.parse(stdout), file).to.deep.equal({
          paid: 'shop.order:42',
          others: [],
          shared: true,
          seats: 'shop.seats',
          reports: 'of-reports.r',
          job: 'job',
          kept: true,
          late: 'CLOSED',
          held: false,
          connected: false,
          overridden: true,
          closed: 'CLOSED',
        })
      }
    })
  }

  /** A project with these packages, and with ours as if it had been installed beside them. */
  async function consumer(name: string, modules: string, files: readonly string[]): Promise<string> {
    const project = path.join(folder, name)
    const own = path.join(project, 'node_modules/typeorm-named-lock')
    await mkdir(own, { recursive: true })
    for (const entry of await readdir(modules)) {
      if (!entry.startsWith('.')) await symlink(path.join(modules, entry), path.join(project, 'node_modules', entry))
    }
    const types = path.join(project, 'node_modules/@types')
    await symlink(path.join(root, 'node_modules/@types'), types).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error // some of the packages have brought their own
    })
    await cp(path.join(folder, 'dist'), path.join(own, 'dist'), { recursive: true })
    await cp(path.join(root, 'package.json'), path.join(own, 'package.json'))
    for (const file of files) await cp(path.join(__dirname, 'nestjs/app.ts'), path.join(project, file))
    await writeFile(path.join(project, 'package.json'), '{ "private": true, "type": "commonjs" }')
    await writeFile(path.join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
    return project
  }
})
