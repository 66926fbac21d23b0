import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { DataSource } from 'typeorm'
import * as library from '../../src/index.js'
import { Program } from '../support/program.js'
import { connectRoot, sharedServer } from '../support/servers.js'
import { until } from '../support/until.js'
import { Examples, Page } from './page.js'

const readme = new Page('README.md')

describe('the README', function () {
  this.timeout(180_000)
  let examples: Examples

  before('write its first example down', async () => {
    examples = await Examples.write({ 'first.ts': readme.blocks('ts')[0]! })
  })

  after(() => examples.remove())

  it('has a first example that runs unchanged, and waits for the lock of another process', async () => {
    const { url } = await sharedServer('mysql')
    const outsider = await connectRoot('mysql')
    const dataSource = await new DataSource({ type: 'mysql', url }).initialize()
    const locks = library.NamedLockService.for(dataSource)
    try {
      const held = await locks.acquire('invoice:42')
      const program = new Program('first.ts', [], { cwd: examples.folder, env: { DATABASE_URL: url } })
      const waits = async () => (await outsider.userLocksOf('app')).some(({ status }) => status === 'PENDING')
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
      await outsider.end()
    }
  })

  it('lists every error and its code', () => {
    const classes = Object.entries(library).filter(([name]) => name.endsWith('Error') && name !== 'NamedLockError')
    expect(classes).to.have.length(10)
    for (const [name, value] of classes) {
      const { code } = new (value as typeof library.NamedLockLostError)('')
      expect(readme.text).to.match(new RegExp(`^\\| \`${name}\` +\\| \`${code}\` +\\|`, 'm'))
    }
  })
})
