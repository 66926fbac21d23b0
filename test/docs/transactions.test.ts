import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import * as library from '../../src/index.js'
import { Examples, Page } from './page.js'

const page = new Page('docs/transactions.md')

/** What the examples take as given. */
const given = `
import { DataSource, Repository, type DataSourceOptions } from 'typeorm'
import { NamedLock, NamedLockService, WithNamedLock } from 'typeorm-named-lock'
declare const locks: NamedLockService
class Stock { id!: number; left!: number }
declare function takeFromStock(): Promise<void>
`

describe('docs/transactions.md', function () {
  this.timeout(180_000)
  let examples: Examples

  before('write its examples down', async () => {
    const texts = page.blocks('ts')
    examples = await Examples.write(texts.map((text) => `${given}export async function example() {\n${text}\n}`))
  })

  after(() => examples.remove())

  it('has examples that compile', () => {
    expect(examples.problems()).to.equal('')
  })

  it('links to what exists', () => {
    expect(page.brokenLinks()).to.deep.equal([])
  })

  it('names only methods that there are', () => {
    expect(page.methods).to.include.members(['transaction', 'lockTransaction', 'runMigrations'])
    for (const method of page.methods) expect(library.NamedLockService.prototype).to.respondTo(method)
  })
})
