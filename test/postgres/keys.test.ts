import { randomBytes } from 'node:crypto'
import { expect } from 'chai'
import { describe, it } from 'mocha'
import { InvalidLockNameError } from '../../src/index.js'
import { postgresKeyFor } from '../../src/names/lock-name.js'
import { Page } from '../docs/page.js'
import { Random } from '../engine/model/random.js'
import { forEachServerAndTypeorm } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { dialectKinds } from '../support/servers.js'
import { isInstalled, SqlProgram, sqlPrograms } from '../support/sql-program.js'
import { typeorms } from '../support/typeorms.js'

const LOWEST = -(2n ** 63n)
const HIGHEST = 2n ** 63n - 1n
const SEED = Number(process.env.NAMED_LOCK_SEED ?? Math.floor(Math.random() * 2 ** 31))

describe("PostgreSQL's keys", () => {
  it('are different for a million random names', function () {
    this.timeout(120_000)
    const count = 1_000_000
    const bytes = randomBytes(count * 10)
    const keys = new BigInt64Array(count)
    for (let i = 0; i < count; i++) {
      keys[i] = postgresKeyFor('shop', bytes.toString('base64', i * 10, (i + 1) * 10))
    }
    keys.sort()
    for (let i = 1; i < keys.length; i++) if (keys[i] === keys[i - 1]) expect.fail(`two names have the key ${keys[i]}`)
    expect(keys[0]! < LOWEST / 1_000n && keys.at(-1)! > HIGHEST / 1_000n, 'of the whole range').to.equal(true)
  })

  forEachServerAndTypeorm(
    (ctx) => {
      it(`are what the documented SQL says, for hundreds of random Unicode names (seed ${SEED})`, async () => {
        const random = new Random(SEED)
        const names = Array.from({ length: 500 }, () => randomName(random))
        const [formula = ''] = new Page('docs/postgresql.md').blocks('sql')
        expect(formula).to.include("'shop'").and.include("'order:42'")
        const perName = formula.trim().replace(/;$/, '').replace("'shop'", '?').replace("'order:42'", 'name')
        const rows = await ctx.outsider.query<{ key: string }>(
          `SELECT (${perName})::text AS key FROM unnest(?::text[]) WITH ORDINALITY AS n(name, i) ORDER BY i`,
          ['größer', names],
        )
        expect(rows.map(({ key }) => key)).to.deep.equal(names.map((name) => postgresKeyFor('größer', name).toString()))
      })

      it('are given as they are by a bigint with exactName, from the lowest to the highest', async () => {
        const locks = await ctx.service()
        for (const key of [LOWEST, -(2n ** 32n), -1n, 0n, 1n, 2n ** 31n, 2n ** 32n, HIGHEST]) {
          const lock = await locks.acquire(key, { exactName: true })
          expect(lock.key).to.equal(String(key))
          expect(await ctx.outsider.getLock(String(key))).to.equal(false)
          expect((await locks.list()).map((info) => info.key)).to.deep.equal([String(key)])
          // The key's own text is the same lock, in every call.
          const text = lock.key
          expect(await locks.tryAcquire(text, { exactName: true })).to.equal(null)
          expect(await locks.tryWithLock(text, { exactName: true }, () => 1)).to.deep.equal({ acquired: false })
          expect(await locks.isLocked(text, { exactName: true })).to.equal(true)
          const holder = await locks.holder(text, { exactName: true })
          expect(holder?.connectionId).to.equal(await ctx.outsider.holderOf(text))
          await lock.release()
          expect(await locks.withLock(text, { exactName: true }, (own) => own.key)).to.equal(text)
          expect(await locks.transaction(text, { exactName: true }, (_manager, own) => own.key)).to.equal(text)
          await locks.dataSource.transaction(async (manager) => {
            await locks.lockTransaction(manager, text, { exactName: true })
            expect(await ctx.outsider.getLock(text)).to.equal(false)
          })
        }
        for (const key of [LOWEST - 1n, HIGHEST + 1n]) {
          await rejection(locks.acquire(key, { exactName: true }), InvalidLockNameError)
        }
      })

      for (const recipe of sqlPrograms) {
        const hasIt = isInstalled(recipe)
        const title = `are shared with ${recipe.name}, which excludes us and is excluded by us`
        const test = async function (this: Mocha.Context): Promise<void> {
          this.timeout(60_000)
          const locks = await ctx.service()
          const other = new SqlProgram(recipe, ctx.address)
          try {
            for (const key of [42n, LOWEST, HIGHEST]) {
              expect(await other.value(`SELECT 1 FROM pg_advisory_lock(${key})`)).to.equal('1')
              expect(await locks.tryAcquire(key, { exactName: true }), `${key} is held there`).to.equal(null)
              const waiting = locks.acquire(key, { exactName: true, timeout: '30s' })
              expect(await other.value(`SELECT pg_advisory_unlock(${key})::int`)).to.equal('1')
              const lock = await waiting
              expect(await other.value(`SELECT pg_try_advisory_lock(${key})::int`), `${key} is held here`).to.equal('0')
              await lock.release()
              expect(await other.value(`SELECT pg_try_advisory_lock(${key})::int`)).to.equal('1')
              expect(await locks.isLocked(key, { exactName: true })).to.equal(true)
              expect(await other.value(`SELECT pg_advisory_unlock(${key})::int`)).to.equal('1')
            }
            // By name, as the documents tell.
            const named = postgresKeyFor(ctx.database, 'named')
            await other.value(`SELECT 1 FROM pg_advisory_lock(${named})`)
            expect(await locks.tryAcquire('named')).to.equal(null)
          } finally {
            await other.end()
          }
        }
        if (hasIt) it(title, test)
        else it(`${title} (needs ${recipe.name})`)
      }
    },
    typeorms.slice(0, 1),
    undefined,
    dialectKinds.filter((kind) => kind === 'postgres'),
  )
})

/** Of all planes, without the characters that text in SQL cannot hold: NUL, and halves of surrogate pairs. */
function randomName(random: Random): string {
  const length = random.int(1, 40)
  let name = ''
  for (let i = 0; i < length; i++) {
    const most = random.pick([0x7f, 0xff, 0x2fff, 0xffff, 0x10ffff])!
    const code = random.int(1, most)
    name += code >= 0xd800 && code <= 0xdfff ? 'ß' : String.fromCodePoint(code)
  }
  return name
}
