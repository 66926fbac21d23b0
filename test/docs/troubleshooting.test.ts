import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'chai'
import { describe, it } from 'mocha'
import { because, REASONS, withAddress } from '../../src/contract/troubleshooting.js'
import * as library from '../../src/index.js'
import { root } from '../package/support/packed-package.js'
import { Page } from './page.js'

const page = new Page('docs/troubleshooting.md')
const ADDRESS = /See typeorm-named-lock\/(docs\/[\w-]+\.md)#([a-z-]+)$/

/** All codes of the declarations, so that a new one cannot be forgotten here. */
const codes = [
  ...readFileSync(path.join(root, 'src/contract/error-code.ts'), 'utf8')
    .split('export type NamedLockErrorCode =')[1]!
    .matchAll(/'([A-Z_]+)'/g),
].map(([, code]) => code as library.NamedLockErrorCode)

const classes = Object.entries(library).filter(([name]) => name.endsWith('Error')) as [string, ErrorClass][]
type ErrorClass = new (message: string, options?: { code?: string }) => library.NamedLockError

const entries = [...page.text.matchAll(/^<a id="([\w-]+)"><\/a>\n\n### /gm)].map(([, id]) => id!)

describe('the troubleshooting page', () => {
  it('has an entry for every error class and every code, where the message says', () => {
    expect(codes).to.have.length.at.least(14)
    expect(classes).to.have.length.at.least(11)
    const errors = [
      ...classes.map(([, errorClass]) => new errorClass('It failed')),
      ...codes.map((code) => new library.NamedLockError('It failed', { code })),
    ]
    for (const error of errors) {
      const [, file, entry] = ADDRESS.exec(error.message) ?? []
      expect(error.message).to.match(/^It failed\. See /)
      expect(page.text, error.name).to.include(`\`${error.code}\``)
      expect(file).to.equal('docs/troubleshooting.md')
      expect(entries, `the entry of ${error.name}, ${error.code}`).to.include(entry)
    }
    for (const [name] of classes) expect(page.text).to.include(`\`${name}\``)
  })

  it('has an entry for every reason that an error gives', () => {
    for (const reason of Object.keys(REASONS)) expect(entries).to.include(reason)
  })

  it('has no entry without an error', () => {
    const own = codes.map((code) => ADDRESS.exec(new library.NamedLockError('', { code }).message)?.[2])
    expect(entries.filter((entry) => !own.includes(entry) && !(entry in REASONS))).to.deep.equal([])
    const source = readdirSync(path.join(root, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(path.join(root, 'src', name), 'utf8'))
      .join('\n')
    const given = new Set([...source.matchAll(/\bbecause\(\s*'([\w-]+)'/g)].map(([, reason]) => reason))
    expect([...given].sort()).to.deep.equal(Object.keys(REASONS).sort())
  })
})

describe('the address in an error message', () => {
  const text = (message: string, code?: library.NamedLockErrorCode) =>
    new library.NamedLockError(message, { code }).message

  it('comes once, at the end, when an error quotes another one', () => {
    const inner = new library.NamedLockLostError('The connection is gone')
    expect(text(`It failed (${inner.message}), and no more`)).to.equal(
      'It failed (The connection is gone.), and no more. See typeorm-named-lock/docs/troubleshooting.md#database',
    )
  })

  it('stays that of the reason, when the quoted error has the same code', () => {
    const inner = new library.NamedLockConfigurationError(because('small-pool', 'The pool is small'))
    expect(inner.message).to.match(/^The pool is small\. See .*#small-pool$/)
    const outer = new library.NamedLockConfigurationError(`withLock: ${inner.message}`)
    expect(outer.message).to.equal(`withLock: ${inner.message}`)
    expect(text(inner.message, 'LOST')).to.match(/^The pool is small\. See .*#lost$/)
  })

  it('is the same for a warning', () => {
    expect(withAddress('Careful', 'INSIDE_TRANSACTION')).to.equal(text('Careful', 'INSIDE_TRANSACTION'))
  })
})
