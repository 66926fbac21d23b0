import { expect } from 'chai'
import type { DataSource } from 'typeorm'
import type { NamedLockService } from '../../src/index.js'
import { forEachDialectAndTypeorm, type Conformance } from '../support/conformance.js'
import { connectionsIn, loginOf } from '../support/typeorms.js'
import { settlesWithin } from '../support/until.js'

/** More lone requests than a session sends as plain text. */
const MANY = 40

interface Field {
  readonly type: string
  readonly length: number
  string(): string | null
  buffer(): Buffer | null
}

type Next = () => unknown

/** Options of mysql2, and of the older driver `mysql`, that change the form of answers. */
const MYSQL: Readonly<Record<string, Record<string, unknown>>> = {
  'numbers of every decimal': {
    typeCast: (field: Field, next: Next) => (/DECIMAL|DOUBLE|FLOAT/.test(field.type) ? Number(field.string()) : next()),
  },
  'texts of everything': { typeCast: (field: Field) => field.string() },
  'no cast': { typeCast: false },
  'Buffers of everything': { typeCast: (field: Field) => field.buffer() },
  'truth values of small numbers': {
    typeCast: (field: Field, next: Next) => (/TINY|LONG|LONGLONG/.test(field.type) ? field.string() === '1' : next()),
  },
  'truth values of everything': { typeCast: (field: Field) => field.string() === '1' },
  'bigints of whole numbers': {
    typeCast: (field: Field, next: Next) => (field.type === 'LONGLONG' ? BigInt(field.string() ?? 0) : next()),
  },
  'dates of everything': { typeCast: (field: Field) => new Date(String(field.string())) },
  'objects of everything': { typeCast: (field: Field) => ({ value: field.string() }) },
  'objects without a prototype': {
    typeCast: (field: Field) => Object.assign(Object.create(null), { value: field.string() }),
  },
  'nothing at all': { typeCast: () => undefined },
  'always 0': { typeCast: () => 0 },
  'always 1': { typeCast: () => 1 },
  'rows as arrays': { rowsAsArray: true },
  'nested tables': { nestTables: true },
  'nested tables with a separator': { nestTables: '_' },
  'dates as texts, big numbers as numbers': { dateStrings: true, supportBigNumbers: false, bigNumberStrings: false },
  'decimal numbers, JSON as text': { decimalNumbers: true, jsonStrings: true, supportBigNumbers: true },
  'named placeholders': { namedPlaceholders: true },
  'a format of its own': {
    queryFormat: (sql: string, values: unknown) =>
      sql.replace(/\?|:\w+/g, (found) => (Array.isArray(values) && values.length > 0 ? String(values.shift()) : found)),
  },
  'no code at run time': { disableEval: true },
  'room for one prepared statement': { maxPreparedStatements: 1 },
  'another time zone, objects as texts': { timezone: '+05:30', stringifyObjects: true },
}

const each = (parse: (value: string) => unknown) => ({ getTypeParser: () => parse })

/** Such options of pg. */
const POSTGRES: Readonly<Record<string, Record<string, unknown>>> = {
  'numbers of everything': { types: each(Number) },
  'objects of everything': { types: each((value) => ({ value })) },
  'truth values of everything': { types: each((value) => value === '1') },
  'Buffers of everything': { types: each((value) => Buffer.from(value)) },
  'dates of everything': { types: each((value) => new Date(value)) },
  'nothing at all': { types: each(() => undefined) },
  'always 0': { types: each(() => 0) },
  'always the text 1': { types: each(() => '1') },
}

describe('driver options that change the form of answers', () => {
  forEachDialectAndTypeorm((ctx) => {
    for (const [what, options] of Object.entries(ctx.kind === 'postgres' ? POSTGRES : MYSQL)) {
      it(`do not affect locks: ${what}`, async function () {
        this.timeout(30_000)
        const dataSource = await ctx.dataSource()
        setDriverOptions(dataSource, options)
        const locks = await ctx.service({ fencing: { table: 'tokens' } }, dataSource)
        await everyCall(ctx, locks)
        await locks.close()
        await everyCall(ctx, await ctx.service({}, dataSource))
      })
    }
  })
})

/**
 * Applies options to the open connections of the pool and to later ones. TypeORM itself could not start with some of
 * them.
 */
function setDriverOptions(dataSource: DataSource, options: Record<string, unknown>): void {
  Object.assign(loginOf(dataSource), options)
  for (const connection of connectionsIn(dataSource) as { config?: object; _types?: unknown }[]) {
    Object.assign(connection.config ?? {}, options)
    if ('types' in options) Object.assign(connection, { _types: options.types })
  }
}

async function everyCall(ctx: Conformance, locks: NamedLockService): Promise<void> {
  const isTaken = async (name: string): Promise<boolean> => (await ctx.outsider.holderOf(ctx.keyOf(name))) !== null
  for (let i = 0; i < MANY; i++) {
    await settlesWithin(
      5_000,
      'a lone call',
      locks.withLock(`lone ${i % 3}`, () => {}),
    )
  }
  await locks.withLock('lone 0', async () => expect(await isTaken('lone 0')).to.equal(true))
  for (let i = 0; i < 3; i++) expect(await isTaken(`lone ${i}`), `lone ${i}`).to.equal(false)

  await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      locks.withLock(`batch ${i}`, () => new Promise((resolve) => setImmediate(resolve))),
    ),
  )
  for (let i = 0; i < 60; i += 20) expect(await isTaken(`batch ${i}`), `batch ${i}`).to.equal(false)

  let inside = 0
  await Promise.all(
    Array.from({ length: 10 }, () =>
      locks.withLock('contended', () => {
        expect(++inside).to.equal(1)
        return new Promise<void>((resolve) => setImmediate(resolve)).then(() => void inside--)
      }),
    ),
  )
  await ctx.outsider.getLock(ctx.keyOf('busy'))
  expect(await locks.tryAcquire('busy')).to.equal(null)
  expect(await locks.tryAcquire('busy', { timeout: 60, session: 'dedicated' })).to.equal(null)
  expect(await locks.isLocked('busy')).to.equal(true)
  expect((await locks.holder('busy'))?.connectionId).to.equal(await ctx.outsider.holderOf(ctx.keyOf('busy')))
  const waiting = locks.acquire('busy', { timeout: '10s' })
  await new Promise((resolve) => setTimeout(resolve, 60))
  await ctx.outsider.releaseLock(ctx.keyOf('busy'))
  const lock = await waiting
  expect(await isTaken('busy')).to.equal(true)
  expect(await lock.verify()).to.equal(true)
  expect(typeof (await lock.fencingToken())).to.equal('bigint')
  expect((await locks.list()).map(({ name }) => name)).to.deep.equal(['busy'])
  expect((await locks.holder('busy'))?.process).to.match(new RegExp(`:${process.pid}$`))
  await lock.release()
  expect(await locks.isLocked('busy')).to.equal(false)

  await locks.transaction('moved', async () => expect(await isTaken('moved')).to.equal(true))
  await locks.withLock(['one', 'two'], { session: 'dedicated' }, async (several) => {
    expect(await several.verify()).to.equal(true)
    expect(await isTaken('two')).to.equal(true)
  })
  for (const name of ['moved', 'one', 'two']) expect(await isTaken(name), name).to.equal(false)
  const codes = (await locks.check()).map(({ code }) => code)
  expect(codes.filter((code) => /LEASE|READ_ONLY|TOO_OLD|MULTIPLEXES/.test(code))).to.deep.equal([])
}
