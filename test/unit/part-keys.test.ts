import { expect } from 'chai'
import { createHash } from 'node:crypto'
import { keyFor, postgresKeyFor } from '../../src/names/lock-name.js'
import { partBase, partKey, postgresPermitKey, readPartKey } from '../../src/names/part-keys.js'

/** Frozen, like the keys of names: processes with different versions must meet on the same part. */
const golden: readonly [namespace: string | false, name: string | bigint, base: string, postgresPermit3: bigint][] = [
  ['shop', 'reports', 'shop.reports', 2391765811339644367n],
  ['shop', 42n, 'shop.42', -8469467640461753636n],
  [false, 'reports', 'reports', 8982613752951501123n],
  ['shop', 'x'.repeat(54), 'shop.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', -2303239817600448952n],
  ['shop', 'x'.repeat(55), 'shop.xxxxxxxxxxxxxxxxxxxxxxxxxxx~wrrntq5gpt4jjj3xeizwxd4gxb', -339076672688112317n],
  ['shop', 'x'.repeat(59), 'shop.xxxxxxxxxxxxxxxxxxxxxxxxxxx~fmi2q44pnhn64v5ki3vh4kjmfc', 2422662603681793237n],
  ['shop', 'x'.repeat(60), 'shop.xxxxxxxxxxxxxxxxxxxxxxxxxxx~anukm4gqa5rvpwlfqdtvwzersq', 5919977099221745169n],
  ['shop', 'Order:42', 'shop.order:42~rjo4xgk37thylaaavvm7r2gprv', 7276627795459341397n],
  ['shop', '注文:42', 'shop._:42~vpew7vmt3pizi6ygkf4pxwffej', 8227723743305836917n],
  ['shop', 'reports~p3', 'shop.reports_p3~meufv2dp44fnqzpx5ueesclmop', 3730929542111713608n],
  ['my.db', 'x', 'my.db.x~b4pemv5c43m4tytykl2totur2x', 3748925035815296922n],
]

/** Names that are difficult to tell apart, one after the other. */
function* names(count: number): Generator<string> {
  const units = [...'aAzZ09~._-%: \0éÉ\u212aİß注🔒pr']
  let state = 1
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  for (let i = 0; i < count; i++) {
    let name = ''
    for (let length = 1 + next(next(4) === 0 ? 70 : 12); length > 0; length--) name += units[next(units.length)]
    // Some look like the key of a part.
    yield next(3) === 0 ? `${name}~${next(2) ? 'p' : 'r'}${next(1_000)}` : name
  }
}

describe('the keys of parts', () => {
  for (const [namespace, name, base, permit] of golden) {
    it(`are frozen for ${JSON.stringify([namespace, String(name).slice(0, 30)])}`, () => {
      expect(partBase(namespace, name)).to.equal(base)
      expect(partKey(base, 'p', 3)).to.equal(`${base}~p3`)
      expect(partKey(base, 'r', 63)).to.equal(`${base}~r63`)
      expect(postgresPermitKey(namespace, name, 3)).to.equal(permit)
    })
  }

  it('have at most 64 characters of printable ASCII, without upper case', () => {
    for (const name of names(5_000)) {
      for (const namespace of ['shop', false, 'n'.repeat(70)] as const)
        expect(partKey(partBase(namespace, name), 'p', 999)).to.match(/^[ -@[-~]{1,64}$/)
    }
  })

  it('are computed on PostgreSQL from a byte that no name has', () => {
    const bytes = Buffer.concat([Buffer.of(0xff), Buffer.from('permit 12\0shop\0reports')])
    const expected = createHash('sha256').update(bytes).digest().readBigInt64BE(0)
    expect(postgresPermitKey('shop', 'reports', 12)).to.equal(expected)
  })

  it('are the key of no name, in no namespace, and no two names share one', () => {
    const bases = new Map<string, string>()
    const numbers = new Set<bigint>()
    const permits = new Set<bigint>()
    for (const name of names(100_000)) {
      for (const key of [keyFor('shop', name), keyFor(false, name)])
        if (readPartKey(key)) expect.fail(`${key} is the key of a part`)
      const base = partBase('shop', name)
      if ((bases.get(base) ?? name) !== name) expect.fail(`${name} and ${bases.get(base)} share ${base}`)
      bases.set(base, name)
      if (readPartKey(partKey(base, 'r', 7))?.base !== base) expect.fail(`${base} has no parts`)
      numbers.add(postgresKeyFor('shop', name))
      permits.add(postgresPermitKey('shop', name, 0))
    }
    expect(permits.size).to.equal(bases.size)
    for (const key of permits) if (numbers.has(key)) expect.fail(`${key} is the key of a name`)
  }).timeout(60_000)
})
