import { expect } from 'chai'
import fc from 'fast-check'
import { MARIADB_EXACT_NAMES, MYSQL_EXACT_NAMES, postgresExactKey } from '../../src/names/exact-names.js'
import { hexLiteral } from '../../src/dialect/mysql/sql-literal.js'
import { InvalidLockNameError, type LockName } from '../../src/index.js'
import { exactKeyFor, foldForExclusion, keyFor, keyPrefix, postgresKeyFor } from '../../src/names/lock-name.js'

/**
 * Frozen: processes with different versions of the library must meet on the same key. A change that makes one of these
 * fail is a breaking change. All were verified with a second implementation in another language.
 */
const golden: readonly [namespace: string | false, name: LockName, key: string, postgresKey: bigint][] = [
  ['shop', 'order:42', 'shop.order:42', 3781916301554573147n],
  ['shop', 42n, 'shop.42', -6140901495336766053n],
  ['shop', '42', 'shop.42', -6140901495336766053n],
  ['shop', 'e', 'shop.e', -1540349995674624102n],
  ['shop', 'a_b', 'shop.a_b', 6943211073266035350n],
  ['shop', '100%', 'shop.100%', -2362548666779036904n],
  ['shop', ' x', 'shop. x', -1742828381820912302n],
  ['shop', 'order:42 ', 'shop.order:42 ', 4814767439498435541n],
  [false, 'order:42', 'order:42', 6742409548142062625n],
  ['', 'order:42', 'order:42', 6742409548142062625n],
  [false, 'a.b', 'a.b', -252989111724669425n],
  ['a', 'b', 'a.b', 6463353407833682387n],
  // the longest name that is used unchanged, and one character more
  ['shop', 'x'.repeat(59), `shop.${'x'.repeat(59)}`, 3103446832515767278n],
  ['shop', 'x'.repeat(60), `shop.${'x'.repeat(32)}~anukm4gqa5rvpwlfqdtvwzersq`, 245629183148385111n],
  ['shop', 'x'.repeat(1024), `shop.${'x'.repeat(32)}~km2x3trtnv5cexglmc4ls4j5c5`, 5995836803493231138n],
  ['a'.repeat(40), 'x'.repeat(23), `${'a'.repeat(40)}.${'x'.repeat(23)}`, 3286131895979722450n],
  ['a'.repeat(40), 'x'.repeat(24), `${'a'.repeat(37)}~6vsj6c2we2ocxs6gcmobbtzdr6`, -764311165707314133n],
  // names that servers would fold, pad, truncate or refuse
  ['shop', 'Order:42', 'shop.order:42~rjo4xgk37thylaaavvm7r2gprv', -8476395064107675771n],
  ['shop', 'é', 'shop._~krh5fdect4itrz4qoaenlzrmv6', 6075305923274805560n],
  ['shop', 'İ', 'shop._~x5zu2ucdjq2vmxkwsymydvv4y3', -4651288983021800106n],
  ['shop', '🔒', 'shop._~jpv4lzbuyaug2uza6fi5orjhiv', 5470683756299823213n],
  ['shop', '注文:42', 'shop._:42~vpew7vmt3pizi6ygkf4pxwffej', -6068196059805658732n],
  ['shop', 'x\0y', 'shop.x_y~gzmw7dpr5p5zuphhtnbbjvsbcw', 3916284006415203226n],
  ['shop', 'a~b', 'shop.a_b~pdrszjhlcv7b2zzd4y4od4wn42', 8710855191094984221n],
  // namespaces that cannot be used in a key unchanged
  ['Shop', 'order:42', 'shop.order:42~iukakcafov6dn4rbnf4oubv53j', 4977609020160703542n],
  ['my.db', 'x', 'my.db.x~b4pemv5c43m4tytykl2totur2x', 1089385502079375817n],
]

/** Difficult names, close to each other in everything that servers fold. */
const anyName = fc.oneof(
  fc.string({ minLength: 1, maxLength: 40, unit: 'binary' }),
  fc.string({ minLength: 1, maxLength: 80, unit: 'grapheme-ascii' }),
  fc.string({
    minLength: 1,
    maxLength: 6,
    unit: fc.constantFrom(...'aAeEéÉkK\u212aiIİıσςΣß~._% \0\u0301'.split('')),
  }),
)
const anyNamespace = fc.oneof(
  fc.constantFrom('shop', 'Shop', 'my.db', 'a~b', 'é', 'x'.repeat(70)),
  fc.string({ minLength: 1, maxLength: 12, unit: 'grapheme-ascii' }),
)
/** Forms of one name that look alike or fold together. */
const lookalikes = (name: string) =>
  [
    name,
    `${name} `,
    name.toLowerCase(),
    name.toUpperCase(),
    name.normalize('NFC'),
    name.normalize('NFD'),
    name.normalize('NFKC'),
  ].filter((text) => text.isWellFormed())

describe('names to keys', () => {
  describe('golden keys', () => {
    for (const [namespace, name, key, postgresKey] of golden) {
      it(`${String(namespace).slice(0, 10)} and ${JSON.stringify(String(name)).slice(0, 12)} give ${key}`, () => {
        expect(keyFor(namespace, name)).to.equal(key)
        expect(postgresKeyFor(namespace, name)).to.equal(postgresKey)
      })
    }
  })

  it('maps distinct names to distinct keys that every server accepts unchanged', function () {
    this.timeout(120_000)
    const keys = new Map<string, string>()
    const numbers = new Map<bigint, string>()
    let names = 0
    fc.assert(
      fc.property(anyName, (given) => {
        for (const name of lookalikes(given)) {
          names++
          const key = keyFor('shop', name)
          expect(key).to.match(/^[ -@[-~]{1,64}$/)
          expect(keys.get(key) ?? name, key).to.equal(name)
          keys.set(key, name)
          const number = postgresKeyFor('shop', name)
          expect(BigInt.asIntN(64, number)).to.equal(number)
          expect(numbers.get(number) ?? name, String(number)).to.equal(name)
          numbers.set(number, name)
        }
      }),
      { numRuns: 10_000 },
    )
    expect(names).to.be.greaterThan(10_000)
    expect(keys.size).to.be.greaterThan(5_000)
  })

  it('keeps namespaces apart', () => {
    const keys = new Map<string, string>()
    fc.assert(
      fc.property(anyNamespace, anyName, (namespace, name) => {
        const key = keyFor(namespace, name)
        const both = JSON.stringify([namespace, name])
        expect(keys.get(key) ?? both, key).to.equal(both)
        keys.set(key, both)
        expect(key.startsWith(keyPrefix(namespace))).to.equal(true)
      }),
      { numRuns: 3_000 },
    )
  })

  it('distinguishes names that differ only in case, blanks, accents or wildcards', () => {
    const names = [
      'a',
      'A',
      'a ',
      ' a',
      'a  ',
      'e',
      'é',
      'e\u0301',
      'É',
      '%',
      '_',
      'k',
      'K',
      '\u212a',
      'i',
      'I',
      'İ',
      'ı',
      'σ',
      'ς',
    ]
    expect(new Set(names.map((name) => keyFor('shop', name))).size).to.equal(names.length)
    expect(new Set(names.map((name) => keyFor(false, name))).size).to.equal(names.length)
    expect(new Set(names.map((name) => postgresKeyFor('shop', name))).size).to.equal(names.length)
  })

  it('has a prefix for every namespace that its keys begin with', () => {
    expect(keyPrefix('shop')).to.equal('shop.')
    expect(keyPrefix('Shop')).to.equal('shop.')
    expect(keyPrefix('x'.repeat(70))).to.equal('x'.repeat(37))
    expect(keyPrefix(false)).to.equal('')
  })

  describe('refuses', () => {
    const refused: readonly [what: string, name: unknown, message: RegExp][] = [
      ['the empty name', '', /must not be empty/],
      ['1 025 characters', 'x'.repeat(1025), /at most 1024 characters.* has 1025/],
      ['1 025 characters that need a hash', 'É'.repeat(1025), / has 1025/],
      ['half a surrogate pair', 'a\ud83d', /must be well-formed/],
      ['the other half', '\udd12b', /must be well-formed/],
      ['a number', 42, /got 42/],
      ['undefined', undefined, /got undefined/],
      ['null', null, /got null/],
      ['a promise', Promise.resolve('x'), /got an object \(Promise\)/],
      ['a String object', new String('x'), /got an object \(String\)/],
      ['a symbol', Symbol('x'), /got Symbol\(x\)/],
    ]
    for (const [what, name, message] of refused) {
      it(what, () => {
        for (const make of [keyFor, postgresKeyFor]) {
          for (const namespace of ['shop', 'Shop', false] as const) {
            expect(() => make(namespace, name as string)).to.throw(InvalidLockNameError, message)
          }
        }
        expect(() => exactKeyFor(name as string, MYSQL_EXACT_NAMES)).to.throw(InvalidLockNameError, message)
      })
    }

    it('with the code INVALID_NAME', () => {
      expect(() => keyFor('shop', ''))
        .to.throw(InvalidLockNameError)
        .with.property('code', 'INVALID_NAME')
    })
  })
})

describe('exact names', () => {
  it('go to the server untouched', () => {
    for (const name of ['Order:42', 'é', 'a~b', ' x ', 'x'.repeat(64), '漢'.repeat(64)]) {
      expect(exactKeyFor(name, MYSQL_EXACT_NAMES)).to.equal(name)
      expect(exactKeyFor(name, MARIADB_EXACT_NAMES)).to.equal(name)
    }
    expect(exactKeyFor('🔒'.repeat(48), MARIADB_EXACT_NAMES)).to.equal('🔒'.repeat(48))
    expect(exactKeyFor('x'.repeat(192), MARIADB_EXACT_NAMES)).to.equal('x'.repeat(192))
  })

  it('are refused where the server would refuse or shorten them', () => {
    const refused = [
      [MYSQL_EXACT_NAMES, 'x'.repeat(65), /on MySQL: it has 65 characters/],
      [MYSQL_EXACT_NAMES, '🔒', /Basic Multilingual Plane/],
      [MYSQL_EXACT_NAMES, 'a\0b', /NUL/],
      [MYSQL_EXACT_NAMES, '', /empty/],
      [MARIADB_EXACT_NAMES, 'x'.repeat(193), /on MariaDB: it has 193 bytes/],
      [MARIADB_EXACT_NAMES, '漢'.repeat(65), /it has 195 bytes/],
      [MARIADB_EXACT_NAMES, 'a\0b', /NUL/],
    ] as const
    for (const [rules, name, message] of refused) {
      expect(() => exactKeyFor(name, rules), name).to.throw(InvalidLockNameError, message)
    }
  })

  it('may be bigints on PostgreSQL only', () => {
    expect(() => exactKeyFor(42n, MYSQL_EXACT_NAMES)).to.throw(InvalidLockNameError, /42n .* on MySQL.*pass '42'/)
    expect(() => exactKeyFor(42n, MARIADB_EXACT_NAMES)).to.throw(InvalidLockNameError, /42n .* on MariaDB/)
  })

  it('are bigints of 64 bits on PostgreSQL, or their canonical text', () => {
    for (const key of [0n, 42n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      expect(postgresExactKey(key)).to.equal(key)
      expect(postgresExactKey(String(key))).to.equal(key)
    }
    for (const key of [2n ** 63n, -(2n ** 63n) - 1n, 10n ** 30n]) {
      expect(() => postgresExactKey(key)).to.throw(InvalidLockNameError, /64-bit/)
      expect(() => postgresExactKey(String(key))).to.throw(InvalidLockNameError, /64-bit/)
    }
    for (const text of [
      '042',
      '-042',
      '-0',
      '+42',
      ' 42',
      '42 ',
      '4 2',
      '42n',
      '0x2a',
      '4.2',
      '4e2',
      '-',
      '٤٢',
      '42\n',
      'job',
    ]) {
      expect(() => postgresExactKey(text), text).to.throw(InvalidLockNameError, /PostgreSQL.*bigint such as 42n/)
    }
    expect(() => postgresExactKey('')).to.throw(InvalidLockNameError, /empty/)
  })

  it('fold together at least as much as MySQL folds', () => {
    const folded = [
      ['A', 'a'],
      ['É', 'é'],
      ['İ', 'i'],
      ['\u212a', 'k'],
      ['\u2126', 'ω'],
      ['\u212b', 'å'],
      ['Σ', 'σ'],
      ['ΑΣ', 'ας'],
      ['Ǆ', 'ǆ'],
      ['ǅ', 'ǆ'],
      ['ẞ', 'ß'],
      ['İSTANBUL É', 'istanbul é'],
    ]
    for (const [one, other] of folded) expect(foldForExclusion(one!), one).to.equal(foldForExclusion(other!))
  })

  it('do not fold what is distinct on every server', () => {
    for (const [one, other] of [
      ['é', 'e'],
      ['a', 'a '],
      ['a', 'ä'],
      ['%', '_'],
    ]) {
      expect(foldForExclusion(one!)).not.to.equal(foldForExclusion(other!))
    }
  })

  it('fold the same whether the server has folded them already', () => {
    // MySQL's fold is character by character; a string must not depend on what composes with what.
    const lower = (text: string) =>
      Array.from(text, (one) =>
        one === 'İ' ? 'i' : one.toLowerCase().length === one.length ? one.toLowerCase() : one,
      ).join('')
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary', maxLength: 30 }),
        fc.string({ unit: fc.constantFrom(...'AÉİ\u212aΣςſẞ\u0301\u0307\u0345Ιı'), maxLength: 8 }),
        (one, other) => {
          for (const text of [one, other]) expect(foldForExclusion(lower(text))).to.equal(foldForExclusion(text))
        },
      ),
      { numRuns: 5_000 },
    )
  })

  it('are comparable with keys of the library, which fold to themselves', () => {
    fc.assert(
      fc.property(anyNamespace, anyName, (namespace, name) => {
        const key = keyFor(namespace, name)
        expect(foldForExclusion(key)).to.equal(key)
      }),
    )
  })
})

describe('SQL literals', () => {
  it('are hexadecimal, whatever the key has in it', () => {
    expect(hexLiteral('shop.order:42')).to.equal("x'73686f702e6f726465723a3432'")
    expect(hexLiteral(`é'\\"`)).to.equal("x'c3a9275c22'")
  })
})
