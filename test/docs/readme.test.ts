import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { DataSource } from 'typeorm'
import * as library from '../../src/index.js'
import { Program } from '../support/program.js'
import { dialectKinds, sharedServer } from '../support/servers.js'
import { until } from '../support/until.js'
import { Examples, Page } from './page.js'

const readme = new Page('README.md')
const errors = new Page('docs/errors.md')

describe('the README', function () {
  this.timeout(180_000)
  let examples: Examples

  before('write its first example down', async () => {
    examples = await Examples.write({ 'first.ts': readme.blocks('ts')[0]! })
  })

  after(() => examples.remove())

  for (const kind of dialectKinds) {
    it(`has a first example that runs unchanged on ${kind}, and waits for the lock of another process`, async () => {
      const url = (await sharedServer(kind)).url.replace(/^mysql:/, `${kind}:`)
      const type = kind === 'postgres' ? kind : 'mysql'
      const dataSource = await new DataSource({ type, url }).initialize()
      const locks = library.NamedLockService.for(dataSource)
      try {
        const held = await locks.acquire('invoice:42')
        const program = new Program('first.ts', [], { cwd: examples.folder, env: { DATABASE_URL: url } })
        const waits = async () => (await locks.list()).some(({ waiters }) => waiters.length > 0)
        await until('the example waits', waits, { within: 15_000 })
        expect(program.stdout).to.equal('')
        await held.release()

        const { code, stdout, stderr } = await program.ended
        expect(stderr).to.equal('')
        expect(code).to.equal(0)
        expect(stdout).to.equal(readme.blocks('text')[0])
      } finally {
        await locks.close()
        await dataSource.destroy()
      }
    })
  }
})

describe('docs/errors.md', () => {
  it('lists every error and its code', () => {
    const classes = Object.entries(library).filter(([name]) => name.endsWith('Error') && name !== 'NamedLockError')
    expect(classes).to.have.length(10)
    for (const [name, value] of classes) {
      const { code } = new (value as typeof library.NamedLockLostError)('')
      expect(errors.text).to.match(new RegExp(`^\\| \`${name}\` +\\| \`${code}\` +\\|`, 'm'))
    }
  })
})
