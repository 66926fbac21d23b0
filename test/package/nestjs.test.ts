import { execFile } from 'node:child_process'
import { cp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import { run } from '../../dev/servers/run.js'
import { otherNest } from '../../dev/versions/index.js'
import { sharedServer } from '../support/servers.js'
import { consumer, own, root } from './support/packed-package.js'

/** One application for all versions, compiled with decorator metadata, because it injects by type alone. */
const compilerOptions = {
  ...{ target: 'es2022', module: 'nodenext', types: ['node'], strict: true, skipLibCheck: true },
  ...{ experimentalDecorators: true, emitDecoratorMetadata: true },
}

const libraries = ['common', 'core', 'schedule', 'testing', 'typeorm'].map((name) => `@nestjs/${name}`)
const packages = [...libraries, 'typeorm', 'reflect-metadata']

describe('a Nest application that uses the packed package', function () {
  this.timeout(300_000)
  let url: string

  before('start the server', async () => {
    url = (await sharedServer('mysql')).url
  })

  for (const [major, kinds] of [
    [10, ['CommonJS']],
    [11, ['CommonJS']],
    [12, ['CommonJS', 'ES modules']],
  ] as const) {
    it(`works with NestJS ${major}, ${kinds.join(' and ')}`, async () => {
      const modules = major === 11 ? path.join(root, 'node_modules') : await otherNest(major)
      const links = packages.map((name) => [name, path.join(modules, name)] as const)
      const home = await consumer({ ...Object.fromEntries(links), ...own('@types/node') })
      const names = kinds.map((kind) => (kind === 'CommonJS' ? 'application.ts' : 'application.mts'))
      for (const name of names) {
        await cp(path.join(root, 'test/package/consumers/nest-application.ts'), path.join(home, name))
      }
      await writeFile(path.join(home, 'package.json'), JSON.stringify({ type: 'commonjs' }))
      await writeFile(path.join(home, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: names }))
      await run([process.execPath, path.join(root, 'node_modules/typescript/bin/tsc'), '-p', '.'], { cwd: home })
      for (const name of names) {
        const { stdout } = await promisify(execFile)(process.execPath, [name.replace('ts', 'js')], {
          cwd: home,
          env: { ...process.env, DATABASE_URL: url },
          timeout: 120_000,
        })
        expect(JSON.parse(stdout), name).to.deep.equal({
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
})
