import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import * as library from '../../src/index.js'
import { readServiceOptions } from '../../src/contract/settings.js'
import { root } from '../package/support/packed-package.js'
import { Examples, exampleFile, Page } from './page.js'

const folder = path.join(root, 'docs')
const names = [
  ...['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', '.changeset/README.md'],
  ...readdirSync(folder)
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
]
/** Pages with examples that a separate test runs unchanged. */
const complete = ['docs/getting-started.md']

/** The declarations that the examples of a page assume, from test/docs/given. */
function givenFor(name: string): string {
  const file = path.join(__dirname, 'given', `${path.basename(name, '.md')}.ts`)
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

/** Pages with a first example that is a whole file, and the code appended to it. */
const wholeFirst: Readonly<Record<string, string>> = {
  'README.md': '',
  'docs/nestjs.md': 'declare function charge(id: number): Promise<void>',
}

/** A block that begins with the name of its file is a whole file, and other blocks of its page import it. */
const FILE_NAME = /^\/\/ ([\w-]+)((?:\.test)?)\.ts\n/

/** `docs/cli.md`, third block → `docs-cli-3.ts`; tests of the same file for several runners need names of their own. */
function filesOf(name: string): [string, string][] {
  const prefix = name.replace(/\.md$/, '').replaceAll('/', '-')
  const behind = wholeFirst[name]
  return new Page(name).blocks('ts').map((text, i) => {
    const [, file, isTest] = FILE_NAME.exec(text) ?? []
    if (file !== undefined) return [isTest ? `${prefix}-${i + 1}.ts` : `${file}.ts`, text]
    return [
      `${prefix}-${i + 1}.ts`,
      i === 0 && behind !== undefined ? `${text}\n${behind}` : exampleFile(text, givenFor(name)),
    ]
  })
}

describe('the documents', function () {
  this.timeout(120_000)
  let examples: Examples

  before('write their examples down', async () => {
    const files = names.filter((name) => !complete.includes(name)).flatMap(filesOf)
    expect(files.length).to.be.above(20)
    const runners = readFileSync(path.join(__dirname, 'given', 'runners.d.ts'), 'utf8')
    examples = await Examples.write({ ...Object.fromEntries(files), 'runners.d.ts': runners })
  })

  after(() => examples.remove())

  it('have examples that compile', () => {
    expect(examples.problems()).to.equal('')
  })

  it('link to what exists', () => {
    const broken = names.flatMap((name) => new Page(name).brokenLinks().map((link) => `${name}: ${link}`))
    expect(broken).to.deep.equal([])
  })

  it('are all reached from the README', () => {
    const { text } = new Page('docs/README.md')
    const missing = names.filter((name) => name.startsWith('docs/') && !/(README|index)\.md$/.test(name))
    expect(missing.filter((name) => !text.includes(`](${path.basename(name)})`))).to.deep.equal([])
    expect(new Page('README.md').text).to.include('](docs/README.md)')
  })

  it('name only existing methods', () => {
    const methods = names.flatMap((name) => new Page(name).methods)
    expect(methods).to.include.members(['withLock', 'transaction', 'lockTransaction', 'runMigrations'])
    const doubles = ['holdElsewhere', 'simulateLoss']
    for (const method of new Set(methods)) {
      if (!doubles.includes(method)) expect(library.NamedLockService.prototype).to.respondTo(method)
    }
  })

  it('list every option of a service with its default', () => {
    const { text } = new Page('docs/options.md')
    const { handOver, done, ...settings } = readServiceOptions({})
    const parts = { 'handOver.times': handOver.times, 'handOver.for': handOver.for, 'done.table': done.table }
    const all = { ...settings, ...parts }
    for (const [option, value] of Object.entries(all)) {
      const told = new RegExp(`^\\| \`${option}\` +\\| (.*?) +\\|`, 'm').exec(text)?.[1]
      const own = /`'?([^`']+)'?`/.exec(told ?? '')?.[1]
      if (option === 'keepAlive') expect([told, value]).to.deep.equal(['a third of `lease`', settings.lease / 3])
      else if (value === undefined) expect(told, option).to.be.a('string')
      else if (typeof value === 'number') expect(library.parseDuration(own!), option).to.equal(value)
      else expect(own, option).to.equal(`${value as string | boolean}`)
    }
  })

  it('name only existing files of the project', () => {
    for (const name of names.filter((one) => one !== 'CHANGELOG.md')) {
      const mentioned = [...new Page(name).text.matchAll(/`((?:src|test|dev|bench|sample-app)\/[\w./-]*[\w/])`/g)]
      for (const [, file] of mentioned) expect(existsSync(path.join(root, file!)), `${name}: ${file}`).to.equal(true)
    }
  })
})
