import { cp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import { attempt, run } from '../../dev/servers/run.js'
import { otherVersion } from '../../dev/versions/index.js'
import { consumer, own, root } from './support/packed-package.js'

interface Compiler {
  readonly version: string
  readonly folder: () => Promise<string>
  /** Both kinds for the oldest and the newest compiler; one is enough for those in between. */
  readonly kinds: readonly Situation[]
}

const standard = 'an ES module, standard decorators'
const legacy = 'CommonJS, legacy decorators'
type Situation = typeof standard | typeof legacy

const compilers: readonly Compiler[] = [
  { version: '5.4', folder: () => otherVersion('typescript-5.4'), kinds: [standard, legacy] },
  { version: '5.9', folder: () => otherVersion('typescript-5.9'), kinds: [legacy] },
  { version: '6.0', folder: async () => path.join(root, 'node_modules/typescript'), kinds: [standard] },
  { version: '7.0', folder: () => otherVersion('typescript-7.0'), kinds: [standard, legacy] },
]

/** The package.json and tsconfig.json of an application of that kind. The first one also checks all declarations. */
const situations = {
  [standard]: { type: 'module', options: { module: 'nodenext', target: 'es2022' } },
  [legacy]: {
    type: 'commonjs',
    options: {
      ...{ module: 'commonjs', target: 'es2021', esModuleInterop: true, skipLibCheck: true },
      ...{ experimentalDecorators: true, emitDecoratorMetadata: true, exactOptionalPropertyTypes: true },
    },
  },
} as const

/** The resolution of CommonJS packages without `exports`, if the compiler still supports it. */
const resolution: Readonly<Record<string, object>> = {
  '5.4': { moduleResolution: 'node10' },
  '5.9': { moduleResolution: 'node10' },
  '7.0': { moduleResolution: 'bundler' },
}

const printed = `paid 7 - true paid 8 cash true 1
1 TIMEOUT
true 2
`

describe('an application that uses the packed package', function () {
  this.timeout(300_000)

  before('fetch the compilers once', async function () {
    this.timeout(600_000)
    await otherVersion('typescript-5.4')
  })

  for (const { version, folder, kinds } of compilers) {
    for (const situation of kinds) {
      it(`compiles with TypeScript ${version} and runs: ${situation}`, async () => {
        const { type, options } = situations[situation]
        const home = await consumer(own('typeorm', 'mysql2', 'reflect-metadata', '@types/node', '@opentelemetry/api'))
        const compilerOptions = {
          ...{ strict: true, lib: ['es2022'], types: ['node'], ...options },
          ...(type === 'commonjs' ? resolution[version] : {}),
        }
        await cp(path.join(root, 'test/package/consumers/application.ts'), path.join(home, 'application.ts'))
        await writeFile(path.join(home, 'package.json'), JSON.stringify({ type }))
        await writeFile(
          path.join(home, 'tsconfig.json'),
          JSON.stringify({ compilerOptions, files: ['application.ts'] }),
        )
        const tsc = path.join(await folder(), 'bin/tsc')
        const { output } = await attempt([process.execPath, tsc, '-p', '.'], { cwd: home })
        expect(output).to.equal('')
        expect(await run([process.execPath, 'application.js'], { cwd: home })).to.equal(printed)
      })
    }
  }
})
