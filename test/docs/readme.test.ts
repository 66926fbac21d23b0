import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { DataSource } from 'typeorm'
import ts from 'typescript'
import * as library from '../../src/index.js'
import { Program } from '../support/program.js'
import { connectRoot, sharedServer } from '../support/servers.js'
import { until } from '../support/until.js'

const root = path.join(__dirname, '..', '..')
const readme = readFileSync(path.join(root, 'README.md'), 'utf8')
const examples = blocks('ts')

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
  this.timeout(60_000)
  let folder: string

  before('write its examples down', async () => {
    await mkdir(path.join(root, '.cache'), { recursive: true })
    folder = await mkdtemp(path.join(root, '.cache', 'readme-'))
    // Users have the package by its name; here it is the sources.
    const compilerOptions = { paths: { 'typeorm-named-lock': ['../../src/index.ts'] } }
    await writeFile(
      path.join(folder, 'tsconfig.json'),
      JSON.stringify({ extends: '../../tsconfig.json', compilerOptions, include: ['*.ts'], exclude: [] }),
    )
    await Promise.all(
      examples.map((example, index) => {
        const text = index === 0 ? example : `${given}export async function example() {\n${example}\n}`
        return writeFile(path.join(folder, `example-${index + 1}.ts`), text)
      }),
    )
  })

  after(() => rm(folder, { recursive: true, force: true }))

  it('has a first example that runs as it stands, and waits for the lock of another process', async () => {
    const { url } = await sharedServer('mysql')
    const outsider = await connectRoot('mysql')
    const dataSource = await new DataSource({ type: 'mysql', url }).initialize()
    const locks = library.NamedLockService.for(dataSource)
    try {
      const held = await locks.acquire('invoice:42')
      const program = new Program('example-1.ts', [], { cwd: folder, env: { DATABASE_URL: url } })
      const waits = async () => (await outsider.userLocksOf('app')).some(({ status }) => status === 'PENDING')
      await until('the example waits', waits, { within: 15_000 })
      expect(program.stdout).to.equal('')
      await held.release()

      const { code, stdout, stderr } = await program.ended
      expect(stderr).to.equal('')
      expect(code).to.equal(0)
      expect(stdout).to.equal(blocks('text')[0])
    } finally {
      await locks.close()
      await dataSource.destroy()
      await outsider.end()
    }
  })

  it('has examples that compile', () => {
    const config = path.join(folder, 'tsconfig.json')
    const { fileNames, options } = ts.parseJsonConfigFileContent(
      ts.readConfigFile(config, ts.sys.readFile).config,
      ts.sys,
      folder,
    )
    expect(fileNames).to.have.length(examples.length)
    const problems = ts.getPreEmitDiagnostics(ts.createProgram(fileNames, options))
    const host = { getCurrentDirectory: () => folder, getCanonicalFileName: String, getNewLine: () => '\n' }
    expect(ts.formatDiagnostics(problems, host)).to.equal('')
  })

  it('links to what exists', () => {
    const links = [...readme.matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map((match) => match[1]!)
    expect(links).to.not.be.empty
    for (const link of links) expect(existsSync(path.join(root, link)), link).to.equal(true)
  })

  it('knows every error and its code', () => {
    const classes = Object.entries(library).filter(([name]) => name.endsWith('Error') && name !== 'NamedLockError')
    expect(classes).to.have.length(9)
    for (const [name, value] of classes) {
      const { code } = new (value as typeof library.NamedLockLostError)('')
      expect(readme).to.match(new RegExp(`^\\| \`${name}\` +\\| \`${code}\` +\\|`, 'm'))
    }
  })

  it('names only methods that there are', () => {
    const methods = [...readme.matchAll(/\blocks\.(\w+)\(/g)].map((match) => match[1]!)
    expect(methods).to.include('withLock')
    for (const method of methods) expect(library.NamedLockService.prototype).to.respondTo(method)
  })
})

function blocks(language: string): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm')
  return [...readme.matchAll(fence)].map((match) => match[1]!)
}
