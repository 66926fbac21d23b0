import { execFile } from 'node:child_process'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import ts from 'typescript'
import { testRunners } from '../../dev/versions/index.js'
import { consumer, own, root } from '../package/support/packed-package.js'

interface Suite {
  readonly title: string
  readonly file: string
  readonly command: readonly string[]
  /** The argument of the runner's function that installs fake timers. */
  readonly how?: object
  /** A configuration of jest. */
  readonly jest?: object
}

const JEST = ['jest/bin/jest.js', '--config', 'jest.config.json', '--watchman=false']
const VITEST = ['vitest/vitest.mjs', 'run', '--root', '.', '--config', 'vitest.config.mjs']

const suites: readonly Suite[] = [
  { title: 'jest', file: 'jest.test.cjs', command: JEST },
  {
    title: 'jest, faked before any module is loaded',
    file: 'jest.test.cjs',
    command: JEST,
    jest: { fakeTimers: { enableGlobally: true } },
  },
  { title: 'jest, legacy fake timers', file: 'jest.test.cjs', command: JEST, how: { legacyFakeTimers: true } },
  { title: 'vitest', file: 'vitest.test.mjs', command: VITEST },
  {
    title: 'vitest, with faked microtasks',
    file: 'vitest.test.mjs',
    command: VITEST,
    how: { toFake: ['queueMicrotask', 'setImmediate', 'setTimeout', 'clearTimeout', 'Date', 'performance'] },
  },
  { title: 'node:test', file: 'node.test.cjs', command: ['--test'] },
  { title: 'node:test, timers alone', file: 'node.test.cjs', command: ['--test'], how: { apis: ['setTimeout'] } },
  { title: 'sinon', file: 'sinon.test.cjs', command: [] },
]

describe('InMemoryNamedLockService under fake timers', function () {
  this.timeout(120_000)
  let modules: string
  let home: string

  before('fetch the runners once', async function () {
    this.timeout(600_000)
    modules = await testRunners()
    const runners = Object.fromEntries(['jest', 'vitest', 'sinon'].map((name) => [name, path.join(modules, name)]))
    home = await consumer({ ...own('typeorm', 'reflect-metadata'), ...runners })
    await cp(path.join(root, 'test/testing/runners'), home, { recursive: true })
    await writeFile(path.join(home, 'vitest.config.mjs'), 'export default { test: { include: ["vitest.test.mjs"] } }')
  })

  for (const { title, file, command, how = {}, jest = {} } of suites) {
    it(`is as documented with ${title}`, async function () {
      const settings = { testMatch: ['**/jest.test.cjs'], transform: {}, testEnvironment: 'node', ...jest }
      await writeFile(path.join(home, 'jest.config.json'), JSON.stringify(settings))
      const output = await runnerOutput(home, [...command, file], { FAKE_TIMERS: JSON.stringify(how) })
      expect(/(?:Tests:? +|[#ℹ] pass )\d+/.test(output), output).to.equal(true)
      expect(/\b[1-9]\d* failed|[#ℹ] fail [1-9]/.test(output), output).to.equal(false)
    })
  }

  const runners = { jest: [JEST, 'js'], vitest: [VITEST, 'mjs'], 'node:test': [['--test'], 'js'] } as const
  for (const [runner, [command, extension]] of Object.entries(runners)) {
    it(`passes the whole test of docs/testing.md with ${runner}`, async function () {
      const folder = path.join(home, `whole-${runner.replace(':', '-')}`)
      await mkdir(folder)
      const page = await readFile(path.join(root, 'docs/testing.md'), 'utf8')
      const module = extension === 'mjs' ? ts.ModuleKind.ESNext : ts.ModuleKind.CommonJS
      for (const [title, name] of [
        ['', 'order-service'],
        [` [${runner}]`, 'order-service.test'],
      ]) {
        const begin = `\`\`\`ts${title}\n// ${name}.ts\n`
        expect(page).to.include(begin)
        const text = page.split(begin)[1]!.split('```')[0]!
        const { outputText } = ts.transpileModule(text, { compilerOptions: { module, target: ts.ScriptTarget.ES2022 } })
        await writeFile(path.join(folder, `${name}.${extension}`), outputText)
      }
      await writeFile(path.join(folder, 'jest.config.json'), JSON.stringify({ transform: {} }))
      await writeFile(path.join(folder, 'vitest.config.mjs'), 'export default {}')
      const output = await runnerOutput(folder, [...command, `order-service.test.${extension}`])
      expect(/Tests:? +2 passed|[#ℹ] pass 2\b/.test(output), output).to.equal(true)
    })
  }

  async function runnerOutput(
    cwd: string,
    command: readonly string[],
    variables: NodeJS.ProcessEnv = {},
  ): Promise<string> {
    const args = command.map((word) => (/\.m?js$/.test(word) && word.includes('/') ? path.join(modules, word) : word))
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
      cwd,
      env: { ...process.env, ...variables, CI: '1', NO_COLOR: '1' },
      timeout: 110_000,
    }).catch((error: unknown) => error as { stdout: string; stderr: string; code: unknown })
    return `${stdout}\n${stderr}`
  }
})
