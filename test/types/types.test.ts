import { rm } from 'node:fs/promises'
import path from 'node:path'
import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { attempt } from '../../dev/servers/run.js'
import { otherVersion } from '../../dev/versions/index.js'

const root = path.join(__dirname, '../..')
/** The folder in which tsconfig.declarations.json expects the package. */
const declarations = path.join(root, '.cache/type-tests')

/** The errors of TypeScript 7, or of another compiler; test/package compiles an application with all of them. */
async function compile(args: readonly string[], compiler?: string): Promise<string> {
  const tsc = path.join(compiler ?? (await otherVersion('typescript-7.0')), 'bin/tsc')
  const { output } = await attempt([process.execPath, tsc, ...args], { cwd: root })
  return output
}

/** The other files of this folder are the tests: they must compile, and every `@ts-expect-error` in them must be one. */
describe('the types', function () {
  this.timeout(120_000)

  before('emit the declarations', async function () {
    this.timeout(600_000) // the compiler is downloaded once
    const output = await compile(
      ['-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--outDir', declarations],
      path.join(root, 'node_modules/typescript'),
    )
    expect(output).to.equal('')
  })
  after('remove the declarations', () => rm(declarations, { recursive: true, force: true }))

  for (const [situation, config] of [
    ['with legacy decorators', 'legacy'],
    ['with standard decorators', 'standard'],
    ['with exactOptionalPropertyTypes', 'exact-optional'],
    ['on TypeORM 0.3', 'typeorm-03'],
    ['from the declarations, with lib es2022 and without skipLibCheck', 'declarations'],
  ] as const) {
    it(`are right ${situation}`, async () => {
      expect(await compile(['-p', `test/types/tsconfig.${config}.json`])).to.equal('')
    })
  }

  it('say on the first line of each error what is wrong', async () => {
    const output = await compile(['-p', 'test/types/tsconfig.wrong.json', '--pretty', 'false'])
    const lines = output.split('\n').filter((line) => line.startsWith('test/types/'))
    const reasons = [
      /"@WithNamedLock needs a method that returns a promise: make it async"/,
      /'\(id: string\) => string' .*this: Wrong, id: number/,
      /'"5 minutes"'.* 'MillisecondsOrSuchAs<.*"500ms".*>/,
      /"onBusy: 'skip' needs a method that may return undefined"/,
      /'"5 minutes"'.* 'MillisecondsOrSuchAs<.*"500ms".*>/,
      /'string \| undefined'.* 'MillisecondsOrSuchAs<.*"500ms".*>/,
      /'"soon"'.* 'false \| MillisecondsOrSuchAs<.*"500ms".*>/,
      /"the last argument is the work: a function that runs while the lock is held"/,
      /"the last argument is the work: a function that runs while the lock is held"/,
    ]
    expect(lines, output).to.have.length(reasons.length)
    for (const [at, reason] of reasons.entries()) expect(lines[at]).to.match(reason)
  })
})
