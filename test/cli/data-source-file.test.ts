import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import ts from 'typescript'

const root = path.join(__dirname, '..', '..')

const ENTITY = `import { Column, Entity, PrimaryColumn } from 'typeorm'
@Entity() export class Thing { @PrimaryColumn('int') id!: number; @Column('int') other!: number }`
const NEW = "new DataSource({ type: 'mysql', database: 'found', entities: [Thing] })"
const typescript = (exported: string, ending: string) => `import { DataSource } from 'typeorm'
import { Thing } from './thing${ending}'
enum OnlyTypeScript { knows }
export ${exported.replaceAll('NEW', NEW)}`

const COMMONJS =
  "const { DataSource } = require('typeorm'); const source = () => new DataSource({ type: 'mysql', database: 'found' });"
const ESM =
  "import { DataSource } from 'typeorm'; const source = () => new DataSource({ type: 'mysql', database: 'found' });"

const service = (namespace: string, dataSource = 'source()') =>
  `{ dataSource: ${dataSource}, options: { namespace: ${namespace} }, withLock() {}, close: async () => {} }`

describe('--dataSource', function () {
  this.timeout(120_000)
  let folder: string

  // Compiled, because a process started with tsx already loads TypeScript.
  before('compile what loads it', async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'named-lock-data-source-'))
    const sources = ['cli/data-source-file', 'cli/load-module', 'cli/exit-codes']
    await mkdir(path.join(folder, 'loader', 'cli'), { recursive: true })
    for (const source of sources) {
      const text = await readFile(path.join(root, 'src', `${source}.ts`), 'utf8')
      const compilerOptions = { module: ts.ModuleKind.Node16, target: ts.ScriptTarget.ES2022, esModuleInterop: true }
      const { outputText } = ts.transpileModule(text, { compilerOptions, fileName: `${source}.cts` })
      await writeFile(path.join(folder, 'loader', `${source}.js`), outputText)
    }
    const find = `const { findDataSource } = require('./loader/cli/data-source-file.js')
const find = (dataSource) => findDataSource({ dataSource }).then(
  ({ dataSource: { options }, services }) => [options.database, ...services.map((one) => one.options.namespace)].join(' '),
  ({ message }) => message,
)
const all = process.argv.slice(2).reduce(async (before, file) => [...(await before), await find(file)], [])
all.then((texts) => process.stdout.write(JSON.stringify(texts)))`
    await writeFile(path.join(folder, 'find.js'), find)
    for (const tool of ['none', 'tsx', 'ts-node']) {
      for (const type of ['commonjs', 'module']) await makeProject(tool, type)
    }
  })
  after(() => rm(folder, { recursive: true, force: true }))

  async function makeProject(tool: string, type: string): Promise<void> {
    const project = path.join(folder, `${tool}-${type}`)
    await mkdir(path.join(project, 'node_modules'), { recursive: true })
    for (const name of ['typeorm', 'mysql2', 'typescript', ...(tool === 'none' ? [] : [tool])]) {
      await symlink(path.join(root, 'node_modules', name), path.join(project, 'node_modules', name))
    }
    const [compiledTo, ending] = type === 'module' ? ['nodenext', '.js'] : ['commonjs', '']
    const compilerOptions = { module: compiledTo, target: 'es2022', experimentalDecorators: true, rootDir: '.' }
    const files = {
      'package.json': JSON.stringify({ type }),
      'tsconfig.json': JSON.stringify({ compilerOptions: { ...compilerOptions, ignoreDeprecations: '6.0' } }),
      'thing.ts': ENTITY,
      'default.ts': typescript('default NEW', ending),
      'promise.ts': typescript('const db = (async () => NEW)()', ending),
      'two.ts': typescript('const one = NEW; export const two = NEW', ending),
      'whole.cjs': `${COMMONJS} module.exports = source()`,
      'compiled.cjs': `${COMMONJS} exports.__esModule = true; exports.default = Promise.resolve(source())`,
      'late.mjs': `${ESM} export const db = await Promise.resolve(source()); export default db`,
      'broken.mjs': `${ESM} throw new Error('no password given')`,
      'nothing.cjs': 'module.exports = { port: 3306 }',
      // A service of another copy of the library has the same shape.
      'service.cjs': `${COMMONJS} exports.locks = ${service("'billing'")}`,
      'both.cjs': `${COMMONJS} const dataSource = source(); module.exports = { dataSource, locks: ${service("'shop'", 'dataSource')} }`,
      'made.cjs': `${COMMONJS} module.exports = async () => source()`,
      'made.mjs': `${ESM} export class NotCalled { constructor() { throw new Error('called') } } export default () => Promise.resolve(${service("'made'")})`,
      'class.mjs': `${ESM} export default class NotCalled { constructor() { throw new Error('called') } }`,
    }
    for (const [name, text] of Object.entries(files)) await writeFile(path.join(project, name), text)
  }

  /**
   * The databases of the DataSources found, or the error messages. One process for all files, because starting one
   * takes most of the time.
   */
  async function found(tool: string, type: string, ...files: string[]): Promise<string[]> {
    const NODE_OPTIONS = (process.env.NODE_OPTIONS ?? '').replace(/--(import|require)[= ]\S+/g, '')
    const options = { cwd: path.join(folder, `${tool}-${type}`), env: { ...process.env, NODE_OPTIONS } }
    const { stdout } = await promisify(execFile)(process.execPath, ['../find.js', ...files], options)
    return JSON.parse(stdout) as string[]
  }

  for (const tool of ['tsx', 'ts-node']) {
    for (const type of ['commonjs', 'module']) {
      it(`reads TypeScript by ${tool}, in a package of type ${type}`, async () => {
        const texts = await found(tool, type, 'default.ts', 'promise.ts', 'default', 'two.ts')
        const two = texts.pop()
        expect(texts).to.deep.equal(['found', 'found', 'found'])
        expect(two).to.match(/exports several DataSources \(one, two\)/)
      })
    }
  }

  it('reads JavaScript of every kind, exported in every way', async () => {
    const files = ['whole.cjs', 'compiled.cjs', 'late.mjs', 'broken.mjs', 'nothing.cjs']
    const texts = await found('none', 'commonjs', ...files)
    expect(texts.slice(0, 3)).to.deep.equal(['found', 'found', 'found'])
    expect(texts[3]).to.match(/broken.mjs could not be loaded: no password given$/)
    expect(texts[4]).to.match(/nothing.cjs exports no DataSource/)
  })

  it('reads services with their options, and calls a function that is exported by default', async () => {
    const texts = await found('none', 'commonjs', 'service.cjs', 'both.cjs', 'made.cjs', 'made.mjs', 'class.mjs')
    expect(texts.slice(0, 4)).to.deep.equal(['found billing', 'found shop', 'found', 'found made'])
    expect(texts[4]).to.match(/class.mjs exports no DataSource and no NamedLockService/)
  })

  it('names the tools to install if TypeScript cannot be loaded', async () => {
    // Decorators: no Node.js supports them itself.
    const [text] = await found('none', 'commonjs', 'thing.ts')
    expect(text).to.match(/does not read thing.ts .* ts-node, .*tsx is installed/)
  })
})
