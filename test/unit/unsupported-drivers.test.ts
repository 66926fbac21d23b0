import { readFileSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'chai'
import { describe, it } from 'mocha'
import { NamedLockConfigurationError, NamedLockService, UnsupportedDriverError } from '../../src/index.js'

const modules = path.join(__dirname, '..', '..', 'node_modules')
const SUPPORTED = ['mysql', 'mariadb', 'postgres']

/** Every type of driver that TypeORM has, in both of its majors. */
const types = new Set(
  ['typeorm', 'typeorm03'].flatMap((name) => {
    const text = readFileSync(path.join(modules, name, 'driver/types/DatabaseType.d.ts'), 'utf8')
    return [...text.matchAll(/"([\w-]+)"/g)].map((match) => match[1]!)
  }),
)

function withType(type: unknown): never {
  return { options: { type }, isInitialized: false, createQueryRunner: () => undefined } as never
}

describe('drivers without named locks', () => {
  it('are all of TypeORM but three', () => {
    expect([...types]).to.include.members([...SUPPORTED, 'cockroachdb', 'aurora-mysql', 'sqlite', 'mssql', 'mongodb'])
    for (const type of SUPPORTED) expect(() => new NamedLockService(withType(type))).not.to.throw()
  })

  for (const type of [...types].filter((one) => !SUPPORTED.includes(one))) {
    it(`are refused with the reason: ${type}`, () => {
      const { message } = refusal(type)
      expect(message).to.match(/: .{20,}\. Supported are 'mysql', 'mariadb' and 'postgres'\. See /)
      expect(message, 'a reason of its own').not.to.equal(refusal('unheard-of').message.replace('unheard-of', type))
    })
  }

  it('are refused when they are unknown', () => {
    for (const type of ['unheard-of', '', undefined, 7, '__proto__', 'constructor']) {
      expect(refusal(type).message).to.include('knows no named locks for it')
    }
  })

  it('include values that are no DataSources', () => {
    for (const no of [undefined, null, {}, { options: { type: 'mysql' } }]) {
      expect(() => new NamedLockService(no as never)).to.throw(NamedLockConfigurationError)
    }
  })
})

function refusal(type: unknown): Error {
  try {
    new NamedLockService(withType(type))
  } catch (error) {
    expect(error).to.be.instanceOf(UnsupportedDriverError)
    return error as Error
  }
  throw new Error(`No refusal of ${String(type)}`)
}
