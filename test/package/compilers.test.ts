import { cp, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect } from 'chai'
import { before, describe, it } from 'mocha'
import { attempt, run } from '../../dev/servers/run.js'
import { otherVersion } from '../../dev/versions/index.js'
import { consumer, own, root } from './support/packed-package.js'

const compilers: Readonly<Record<string, () => Promise<string>>> = {
  '5.4': () => otherVersion('typescript-5.4'),
  '5.9': () => otherVersion('typescript-5.9'),
  '6.0': async () => path.join(root, 'node_modules/typescript'),
  '7.0': () => otherVersion('typescript-7.0'),
}

/** What an application of that kind has in its package.json and tsconfig.json. The first checks all declarations too. */
const situations = {
  'an ES module, standard decorators': { type: 'module', options: { module: 'nodenext', target: 'es2022' } },
  'CommonJS, legacy decorators': {
    type: 'commonjs',
    options: {
      ...{ module: 'commonjs', target: 'es2021', esModuleInterop: true, skipLibCheck: true },
      ...{ experimentalDecorators: true, emitDecoratorMetadata: true, exactOptionalPropertyTypes: true },
    },
  },
} as const
type Situation = keyof typeof situations

/** How CommonJS packages are resolved as they were before `exports`, as far as the compiler still knows it. */
const resolution: Readonly<Record<string, object>> = {
  '5.4': { moduleResolution: 'node10' },
  '5.9': { moduleResolution: 'node10' },
  '6.0': { moduleResolution: 'node10', ignoreDeprecations: '6.0' },
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

  for (const [version, folder] of Object.entries(compilers)) {
    for (const situation of Object.keys(situations) as Situation[]) {
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
