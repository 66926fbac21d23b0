import { cp } from 'node:fs/promises'
import path from 'node:path'
import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import { run } from '../../dev/servers/run.js'
import { otherNode, otherVersion } from '../../dev/versions/index.js'
import { sharedServer } from '../support/servers.js'
import { consumer, own, root } from './support/packed-package.js'

const smoke = path.join(root, 'test/package/consumers/smoke.cjs')

/** The oldest TypeORM that is supported, the newest of its major version, and the newest of all. */
const typeorms: readonly (readonly [version: RegExp, folder: () => Promise<string>])[] = [
  [/^0\.3\.20$/, () => otherVersion('typeorm-0.3.20')],
  [/^0\.3\.[3-9]\d$/, async () => path.join(root, 'node_modules/typeorm03')],
  [/^1\./, async () => path.join(root, 'node_modules/typeorm')],
]

describe('the packed package, on other versions', function () {
  this.timeout(120_000)
  let url: string

  before('start a server, and fetch the versions once', async function () {
    this.timeout(600_000)
    url = (await sharedServer('mysql')).url
    await otherNode(22)
  })

  for (const major of [20, 22, 24]) {
    it(`works on Node.js ${major}, with each TypeORM`, async function () {
      const isOwn = process.versions.node.startsWith(`${major}.`)
      const node = isOwn ? process.execPath : await otherNode(major)
      if (node === undefined) this.skip()
      for (const [version, folder] of typeorms) {
        const home = await consumer({ ...own('mysql2', 'reflect-metadata'), typeorm: await folder() })
        await cp(smoke, path.join(home, 'smoke.cjs'))
        const output = await run([node, 'smoke.cjs'], { cwd: home, env: { DATABASE_URL: url } })
        const { versions, ...findings } = JSON.parse(output) as { versions: [string, string] }
        expect(versions[0]).to.match(new RegExp(`^${major}\\.`))
        expect(versions[1]).to.match(version)
        expect(findings).to.include({ decorated: true, freeAfter: true, transaction: true, error: 'INVALID_NAME' })
      }
    })
  }
})
