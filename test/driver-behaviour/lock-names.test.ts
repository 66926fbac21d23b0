import { expect } from 'chai'
import { after, before, describe, it } from 'mocha'
import { hexLiteral } from '../../src/dialect/mysql/sql-literal.js'
import { foldForExclusion } from '../../src/names/lock-name.js'
import { randomName } from '../support/random-name.js'
import { connectRoot, serverKinds } from '../support/servers.js'
import type { SqlClient } from '../support/sql-client.js'

/** How many GET_LOCKs go into one statement. */
const BATCH = 2_000

/** What `exactName` relies on: which names the server takes for one. */
describe('lock names on the server', () => {
  for (const kind of serverKinds.filter((one) => one !== 'postgres')) {
    describe(kind, () => {
      const prefix = randomName('names')
      let one: SqlClient
      let other: SqlClient
      before('connect', async function () {
        this.timeout(600_000)
        one = await connectRoot(kind)
        other = await connectRoot(kind)
      })
      after('disconnect', () => Promise.all([one?.end(), other?.end()]))

      const lock = async (client: SqlClient, name: string): Promise<boolean> =>
        Number(await client.value(`SELECT GET_LOCK(${hexLiteral(name)}, 0)`)) === 1

      it('end at a NUL, which is why exactName refuses one', async () => {
        expect(await lock(one, `${prefix}\0one`)).to.equal(true)
        expect(await lock(other, `${prefix}\0other`)).to.equal(false)
        expect(await lock(other, prefix)).to.equal(false)
        expect(await lock(other, `${prefix}+`)).to.equal(true)
        for (const client of [one, other]) await client.query('SELECT RELEASE_ALL_LOCKS()')
      })

      if (kind === 'mariadb') return // it folds nothing
      it('fold no more together than foldForExclusion, in all of the Basic Multilingual Plane', async function () {
        this.timeout(60_000)
        let folded = 0
        const tooLittle: string[] = []
        for (let first = 1; first < 0x10000; first += BATCH) {
          for (const [character, kept] of await keptNames(one, prefix, first)) {
            if (kept !== character) folded++
            if (foldForExclusion(kept) !== foldForExclusion(character)) tooLittle.push(`${character} is ${kept}`)
          }
        }
        expect(tooLittle).to.deep.equal([])
        expect(folded).to.be.greaterThan(500)
      })
    })
  }
})

/** Characters from `first` on, and as what the server keeps each of them in a name. */
async function keptNames(client: SqlClient, prefix: string, first: number): Promise<[string, string][]> {
  const codes = Array.from({ length: BATCH }, (_, i) => first + i).filter(
    (code) => code < 0x10000 && String.fromCharCode(code).isWellFormed(),
  )
  if (codes.length === 0) return []
  const names = codes.map((code) => `${prefix}${String.fromCharCode(code)}|${code}`)
  await client.query(`SELECT ${names.map((name, i) => `GET_LOCK(${hexLiteral(name)}, 0) AS c${i}`).join(', ')}`)
  const rows = await client.query<{ name: string }>(
    `SELECT HEX(CONVERT(OBJECT_NAME USING utf8mb4)) AS name FROM performance_schema.metadata_locks
     WHERE OBJECT_TYPE = 'USER LEVEL LOCK' AND OWNER_THREAD_ID = PS_CURRENT_THREAD_ID()`,
  )
  await client.query('SELECT RELEASE_ALL_LOCKS()')
  const kept = rows.map(({ name }): [string, string] => {
    const [, text, code] = /^(.*)\|(\d+)$/s.exec(Buffer.from(name, 'hex').toString('utf8').slice(prefix.length))!
    return [String.fromCharCode(Number(code)), text!]
  })
  expect(kept).to.have.length(codes.length)
  return kept
}
