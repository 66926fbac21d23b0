import { expect } from 'chai'
import { InvalidLockNameError, NamedLockConfigurationError, type NamedLock } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { settlesWithin } from '../support/until.js'
import { Random } from './model/random.js'
import { hookStatements } from './statement-hook.js'

const SEED = Number(process.env.NAMED_LOCK_SEED ?? Math.floor(Math.random() * 2 ** 31))

/** Refused for every lock, or by one of the servers for exact names. */
const badNames: any[] = ['', 'x'.repeat(1_025), '\ud800', 'a\udfff', null, undefined, 42, {}, ['ok', ''], Symbol('s')]
const badExactNames: any[] = [
  ...badNames,
  'x'.repeat(193),
  'é'.repeat(97),
  '😀'.repeat(49),
  'a\0b',
  42n,
  `${'x'.repeat(192)}é`,
]
const badOptions: any[] = [{ timeout: -1 }, { timeout: NaN }, { timeuot: 1 }, { signal: {} }, null, 'soon']

/** What servers fold, pad, count or refuse in their own ways. */
const alphabet = [
  ...Array.from('aAzZ09 .,;:\'"`\\%_~|/*#-(){}[]<>?!$^&+=@'),
  ...Array.from('éÉßẞİıſKÅǅﬁﷺ한각がˈ͡\u00a0\u200b\u2028\u3000\ufeff\ufffd\uffff'),
  ...Array.from('\u0001\b\t\n\r\u001a\u007f'),
  ...Array.from('😀𝒜'),
]

describe('what must not get into a shared statement', () => {
  forEachDialect((ctx) => {
    /** Fails when the server refuses any statement. */
    async function watched() {
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      await (await locks.acquire('warm')).release()
      const hook = hookStatements(dataSource)
      const refused: string[] = []
      const statements: number[] = []
      hook.onAnswer = ({ sql, requests }, error) => {
        if (error) refused.push(`${error.message}: ${sql.slice(0, 200)}`)
        if (requests > 1) statements.push(requests)
      }
      return { locks, refused, statements }
    }

    it('fails its own caller and none of the 99 others of the same turn', async () => {
      const { locks, refused, statements } = await watched()
      const bad: [name: any, options?: any][] = [
        ...badNames.map((name): [any] => [name]),
        ...badExactNames.map((name): [any, any] => [name, { exactName: true }]),
        ...badOptions.map((options, i): [any, any] => [`n${i}`, options]),
      ]
      for (const [name, options] of bad) {
        const calls = Array.from({ length: 100 }, (_, i) => {
          return i === 50 ? locks.acquire(name, options) : locks.acquire(`good${i}`)
        })
        const outcomes = await settlesWithin(5_000, 'a hundred callers', Promise.allSettled(calls))
        const held: NamedLock[] = []
        for (const [i, outcome] of outcomes.entries()) {
          if (outcome.status === 'fulfilled') held.push(outcome.value)
          else if (i !== 50) throw outcome.reason
        }
        const reason: unknown = (outcomes[50] as PromiseRejectedResult).reason
        // What one server refuses the other may take.
        if (!reason) expect(options, String(name)).to.have.property('exactName', true)
        else
          expect(reason instanceof InvalidLockNameError || reason instanceof NamedLockConfigurationError).to.equal(true)
        expect(held.length).to.be.at.least(99)
        await Promise.all(held.map((lock) => lock.release()))
      }
      expect(refused).to.deep.equal([])
      expect(Math.max(...statements), 'requests in one statement').to.be.at.least(20)
    })

    it(`is refused before, or is no harm: exact names of all kinds, seed ${SEED}`, async function () {
      this.timeout(60_000)
      ctx.notOnPostgres('exact names are numbers')
      const { locks, refused } = await watched()
      const random = new Random(SEED)
      const makeName = () => {
        const length = random.pick([1, 2, 3, 8, 31, 32, 47, 48, 49, 62, 63, 64, 65, 95, 96, 97, 191, 192, 193])!
        // One character often, for the limits.
        const letters = random.chance(0.5) ? [random.pick(alphabet)!] : alphabet
        return Array.from({ length }, () => random.pick(letters)!).join('')
      }
      let taken = 0
      for (let round = 0; round < 20; round++) {
        const names = [...new Set(Array.from({ length: 100 }, makeName))]
        const calls = names.map(async (name) => {
          try {
            await locks.withLock(name, { exactName: true, timeout: '5s' }, async (lock) => {
              taken++
              expect(await lock.verify(), JSON.stringify(name)).to.equal(true)
            })
          } catch (error) {
            if (!(error instanceof InvalidLockNameError)) throw error
          }
        })
        await settlesWithin(8_000, 'a round of names', Promise.all(calls))
        expect(refused).to.deep.equal([])
      }
      expect(taken).to.be.at.least(500)
    })
  })
})
