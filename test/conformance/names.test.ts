import { expect } from 'chai'
import { forEachDialectAndTypeorm } from '../support/conformance.js'

/** Names that servers, collations, quoting or the mapping to keys could confuse or reject. */
const trickyNames: readonly string[] = [
  ...['a', 'A', ' a', 'a ', 'a  ', 'a\t', ' ', '  '],
  ...['é', 'É', 'e', 'E', 'e\u0301', 'ß', 'ss', 'SS', 'ẞ', 'σ', 'ς', 'Σ', 'k', 'K', '\u212a', 'i', 'I', 'İ', 'ı'],
  ...[
    'æ',
    'ae',
    'Å',
    'A\u030a',
    '\u212b',
    'ﬁ',
    'fi',
    '①',
    '1',
    'ａ',
    '½',
    '日本',
    'にほん',
    'ニホン',
    'ｶ',
    'カ',
    'я',
    'Я',
  ],
  ...[
    '🔒',
    '🔓',
    '👩‍💻',
    '👩',
    '🇩🇪',
    '\u{10ffff}',
    '\uffff',
    '\u200b',
    '\ufeff',
    '\u00a0',
    '\u0000',
    'a\u0000',
    'a\u0000b',
  ],
  ...['x'.repeat(1024), 'x'.repeat(1023), 'X'.repeat(1024), 'é'.repeat(1024), `${'x'.repeat(1023)}y`],
  ...['x'.repeat(64), 'x'.repeat(65), 'x'.repeat(63), 'x'.repeat(192), 'x'.repeat(193)],
  ...['%', '_', '%%', 'a%', 'a_', 'ab', 'a?', '?', ':name', '@x', '@@version', '$1'],
  ...["'", "''", '"', '""', '`', '\\', '\\\\', "\\'", "'\\", '\\0', '\\x41', '\n', '\\n', '\r\n', '\x1a'],
  ...[
    "'; DROP TABLE users; --",
    "x',0),sleep(1) -- ",
    "x'),('",
    ') OR 1=1 #',
    '-- x',
    '/* x */',
    '# x',
    ';',
    '*/',
    "x'41'",
    '0x41',
  ],
  ...['0', '00', '0.0', '-1', '1e3', 'NULL', 'null', 'true', 'undefined', 'NaN', '42'],
  ...[
    '.',
    '..',
    '.a',
    'a.',
    'a.b',
    'a.B',
    '~',
    'a~',
    '~a',
    'a~b',
    ',',
    'a,b',
    'a, b',
    'constructor',
    '__proto__',
    'toString',
  ],
]

describe('names', () => {
  forEachDialectAndTypeorm((ctx) => {
    it('are all distinct and all can be locked', async () => {
      const locks = await ctx.service()
      const other = await ctx.service()
      expect(new Set(trickyNames).size, 'the list itself').to.equal(trickyNames.length)
      const held = await Promise.all(trickyNames.map((name) => locks.acquire(name, { timeout: 0 })))
      held.forEach((lock, i) => expect(lock.name).to.equal(trickyNames[i]))
      expect(new Set(held.map(({ key }) => key)).size).to.equal(trickyNames.length)
      expect(new Set(held.map(({ key }) => key.toLowerCase())).size).to.equal(trickyNames.length)
      for (const { name, key } of held) {
        const holder = await ctx.outsider.holderOf(key)
        expect(holder, JSON.stringify(name)).not.to.equal(null)
      }
      const onServer = await ctx.outsider.userLocksOf(ctx.database)
      expect(onServer.map(({ key }) => key)).to.have.members(held.map(({ key }) => key))
      const tries = await Promise.all(trickyNames.map((name) => other.tryAcquire(name)))
      expect(tries.filter((lock) => lock !== null).map((lock) => lock.name)).to.deep.equal([])
      await Promise.all(held.map((lock) => lock.release()))
      const again = await Promise.all(trickyNames.map((name) => other.acquire(name, { timeout: 0 })))
      await Promise.all(again.map((lock) => lock.release()))
    })

    it('have keys that never change, so that versions of the library share them', async () => {
      ctx.notOnPostgres('keys are numbers there; lock-name.test.ts has theirs')
      const locks = await ctx.service({ namespace: 'shop' })
      const golden = {
        'order:42': 'shop.order:42',
        'Order:42': 'shop.order:42~rjo4xgk37thylaaavvm7r2gprv',
        'bestellung größer 7': 'shop.bestellung gr_er 7~vjmxtj3wmoze6yaezfzmxlckyh',
        '🔒': 'shop._~jpv4lzbuyaug2uza6fi5orjhiv',
      }
      for (const [name, key] of Object.entries(golden)) {
        const lock = await locks.acquire(name)
        expect(lock.key).to.equal(key)
        expect(await ctx.outsider.holderOf(key)).not.to.equal(null)
        await lock.release()
      }
    })

    it('may be a bigint, which is its digits', async () => {
      const locks = await ctx.service()
      const lock = await locks.acquire(42n)
      expect(lock.name).to.equal('42')
      expect(await locks.tryAcquire('42')).to.equal(null)
      await lock.release()
    })

    it('are separate on two databases', async () => {
      const locks = await ctx.service()
      const other = await ctx.service({}, await ctx.dataSource({ database: ctx.otherDatabase }))
      for (const name of ['report', 'Report', 'x'.repeat(1024)]) {
        const mine = await locks.acquire(name)
        const theirs = await other.acquire(name, { timeout: 0 })
        expect(mine.key).not.to.equal(theirs.key)
        await Promise.all([mine.release(), theirs.release()])
      }
    })

    it('are shared by two databases in one namespace, or without a namespace', async () => {
      ctx.notOnPostgres('locks are those of one database')
      const otherDataSource = await ctx.dataSource({ database: ctx.otherDatabase })
      for (const namespace of [`${ctx.database}_both`, false] as const) {
        const locks = await ctx.service({ namespace })
        const other = await ctx.service({ namespace }, otherDataSource)
        const name = `${ctx.database}-report`
        const lock = await locks.acquire(name)
        expect(lock.key).to.equal(namespace === false ? name : `${namespace}.${name}`)
        expect(await other.tryAcquire(name)).to.equal(null)
        await lock.release()
        const theirs = await other.acquire(name, { timeout: 0 })
        await theirs.release()
      }
    })

    it('of two namespaces on one DataSource are separate', async () => {
      const dataSource = await ctx.dataSource()
      const names = [`${ctx.database}_a`, `${ctx.database}_b`, `${ctx.database}_A`, `${ctx.database}.a`]
      const services = await Promise.all(names.map((namespace) => ctx.service({ namespace }, dataSource)))
      const held = await Promise.all(services.map((locks) => locks.acquire('report', { timeout: 0 })))
      expect(new Set(held.map(({ key }) => key)).size).to.equal(names.length)
      await Promise.all(held.map((lock) => lock.release()))
    })
  })
})
