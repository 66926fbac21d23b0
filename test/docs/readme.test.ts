import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { DataSource } from 'typeorm'
import * as library from '../../src/index.js'
import { Program } from '../support/program.js'
import { connectRoot, sharedServer } from '../support/servers.js'
import { until } from '../support/until.js'
import { Examples, Page } from './page.js'

const readme = new Page('README.md')

/** What the shorter examples take as given. */
const given = `
import { Repository } from 'typeorm'
import { NamedLockService, NamedLockTimeoutError, WithNamedLock } from 'typeorm-named-lock'
declare const locks: NamedLockService
interface Order { id: number }
interface Seat { eventId: number; number: number }
declare function sellTicket(eventId: number, customer: string): Promise<Order>
declare function settleOrders(): Promise<void>
declare function takeFromStock(): Promise<void>
declare function writeReport(): Promise<string>
declare function importOrders(options: { signal: AbortSignal }): Promise<void>
`

describe('the README', function () {
  this.timeout(180_000)
  let examples: Examples

  before('write its examples down', async () => {
    const texts = readme.blocks('ts')
    examples = await Examples.write(
      texts.map((text, i) => (i === 0 ? text : `${given}export async function example() {\n${text}\n}`)),
    )
  })

  after(() => examples.remove())

  it('has a first example that runs as it stands, and waits for the lock of another process', async () => {
    const { url } = await sharedServer('mysql')
    const outsider = await connectRoot('mysql')
    const dataSource = await new DataSource({ type: 'mysql', url }).initialize()
    const locks = library.NamedLockService.for(dataSource)
    try {
      const held = await locks.acquire('invoice:42')
      const program = new Program('example-1.ts', [], { cwd: examples.folder, env: { DATABASE_URL: url } })
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

  it('has examples that compile', () => {
    expect(examples.problems()).to.equal('')
  })

  it('links to what exists', () => {
    expect(readme.brokenLinks()).to.deep.equal([])
  })

  it('knows every error and its code', () => {
    const classes = Object.entries(library).filter(([name]) => name.endsWith('Error') && name !== 'NamedLockError')
    expect(classes).to.have.length(9)
    for (const [name, value] of classes) {
      const { code } = new (value as typeof library.NamedLockLostError)('')
      expect(readme.text).to.match(new RegExp(`^\\| \`${name}\` +\\| \`${code}\` +\\|`, 'm'))
    }
  })

  it('names only methods that there are', () => {
    expect(readme.methods).to.include('withLock')
    for (const method of readme.methods) expect(library.NamedLockService.prototype).to.respondTo(method)
  })
})
