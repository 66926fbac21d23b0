import { expect } from 'chai'
import { keyFor } from '../../src/names/lock-name.js'
import { Random } from '../engine/model/random.js'
import { forEachDialect } from '../support/conformance.js'

const NAMES = 10_000
const SEED = Number(process.env.NAMED_LOCK_SEED ?? Math.floor(Math.random() * 2 ** 31))

describe('ten thousand random names', () => {
  forEachDialect((ctx) => {
    beforeEach(() => ctx.notOnPostgres('every key is a number of 64 bits'))

    it(`are ten thousand locks, and no server refuses any of them (seed ${SEED})`, async function () {
      this.timeout(60_000)
      const names = randomNames(new Random(SEED), NAMES)
      const byKey = new Map<string, string>()
      for (const name of names) {
        const key = keyFor(ctx.database, name)
        expect(byKey.get(key), `the key '${key}' of ${JSON.stringify(name)} is another's`).to.equal(undefined)
        byKey.set(key, name)
      }
      const ask = async (keys: readonly string[], expression: (literal: string) => string) => {
        const literals = keys.map((key) => `x'${Buffer.from(key).toString('hex')}'`)
        return String(await ctx.outsider.value(`SELECT CONCAT_WS(',',${literals.map(expression).join(',')})`)).split(
          ',',
        )
      }
      const keys = [...byKey.keys()]
      // All of them at once on one session, where keys that the server treats as one would be counted twice.
      for (const some of batches(keys)) {
        expect(await ask(some, (key) => `GET_LOCK(${key},0)`)).to.deep.equal(some.map(() => '1'))
      }
      // After one release, each must be free.
      for (const some of batches(keys)) {
        const answers = await ask(some, (key) => `CONCAT(RELEASE_LOCK(${key}),IS_FREE_LOCK(${key}))`)
        for (const [i, answer] of answers.entries()) {
          expect(answer, `the lock of ${JSON.stringify(byKey.get(some[i]!))} is another's too`).to.equal('11')
        }
      }
    })

    it('are taken by a service, all at once', async function () {
      this.timeout(60_000)
      const locks = await ctx.service({ timeout: '30s', maxLocks: 20_000 })
      const names = randomNames(new Random(SEED + 1), NAMES)
      const held = await Promise.all(names.map((name) => locks.tryAcquire(name, { timeout: '30s' })))
      expect(held.every((lock) => lock?.isHeld)).to.equal(true)
      for (const lock of held) await lock?.release()
    })
  })
})

/** Distinct names, close to each other: servers that fold, pad or truncate must not confuse two of them. */
function randomNames(random: Random, count: number): string[] {
  const letters = Array.from('aAbBzZéÉe\u0301ßẞİıK\u212aſsﬁ한\u0000\u0007 \t\n\'"`\\%_~./:;,#|-😀𝒜\uffff\ufeff')
  const anyLetter = () => {
    const point = random.int(0x20, 0x10ffff)
    return point >= 0xd800 && point <= 0xdfff ? '\ufffd' : String.fromCodePoint(point)
  }
  const names = new Set<string>()
  while (names.size < count) {
    const length = random.pick([1, 2, 3, 5, 8, 20, 63, 64, 65, 200])!
    const name = Array.from({ length }, () => (random.chance(0.6) ? random.pick(letters)! : anyLetter())).join('')
    for (const variant of [
      name,
      `${name} `,
      name.toLowerCase(),
      name.toUpperCase(),
      name.normalize('NFKC'),
      `${name}x`,
    ]) {
      if (names.size < count && variant.length <= 1_024) names.add(variant)
    }
  }
  return [...names]
}

function batches(keys: readonly string[]): string[][] {
  return Array.from({ length: Math.ceil(keys.length / 500) }, (_, i) => keys.slice(i * 500, (i + 1) * 500))
}
