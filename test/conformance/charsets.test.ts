import { expect } from 'chai'
import type { DataSource } from 'typeorm'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { connectionsIn, onNewConnection, type RawConnection } from '../support/typeorms.js'

/** More lone requests than a session sends as plain text. */
const MANY = 24

/**
 * Character sets in which a text has other bytes than in the statement, and some that cannot represent all characters.
 */
const COLLATIONS = [
  'utf16_general_ci',
  'utf16le_general_ci',
  'ucs2_general_ci',
  'utf32_general_ci',
  'dec8_swedish_ci',
  'latin1_swedish_ci',
  'koi8r_general_ci',
  'sjis_japanese_ci',
  'gbk_chinese_ci',
  'cp1256_general_ci',
  'ascii_general_ci',
  'binary',
  'utf8mb4_bin',
]

/** Character sets as options of drivers. */
const CHARSETS = [
  'LATIN1_SWEDISH_CI',
  'SJIS_JAPANESE_CI',
  'GBK_CHINESE_CI',
  'CP1251_GENERAL_CI',
  'UTF8MB4_BIN',
  'UTF8_GENERAL_CI',
]

describe('a key under other character sets', () => {
  forEachDialectAndTypeorm((ctx) => {
    beforeEach(() => ctx.notOnPostgres('keys are numbers'))

    /** Locks one name through every kind of statement, and through another connection in between. */
    async function lockEveryWay(dataSource: DataSource): Promise<void> {
      const locks = await ctx.service({}, dataSource)
      const exact = `${ctx.database}.[é 日本 ~|`
      const names = [
        ['plain', {}],
        [exact, { exactName: true }],
      ] as const
      for (let i = 0; i < MANY; i++) await locks.withLock('warm', () => {})
      for (const [name, options] of names) {
        for (let i = 0; i < MANY; i++) await locks.withLock(name, options, () => {})
        const key = options === names[0][1] ? ctx.keyOf(name) : name
        // By the prepared statement, in a batch, on another connection, in a transaction: each time the server has the
        // same key.
        const isTaken = async (how: string) => {
          expect(await ctx.outsider.holderOf(key), how).not.to.equal(null)
          expect(await ctx.outsider.getLock(key), how).to.equal(false)
        }
        await locks.withLock(name, options, async () => {
          await isTaken('alone')
          expect(await locks.tryAcquire(name, { ...options, session: 'dedicated' }).catch(() => null)).to.equal(null)
        })
        await Promise.all(
          Array.from({ length: 5 }, (_, i) =>
            i === 2
              ? locks.withLock(name, options, () => isTaken('in a batch'))
              : locks.withLock(`other ${i}`, () => {}),
          ),
        )
        await locks.withLock(name, { ...options, session: 'dedicated' }, () => isTaken('dedicated'))
        await locks.transaction(name, options, () => isTaken('in a transaction'))
        // Each of them has been released; otherwise this would wait forever.
        expect(await ctx.outsider.getLock(key), 'free').to.equal(true)
        expect(await locks.tryAcquire(name, options)).to.equal(null)
        expect((await locks.holder(name, options))?.connectionId).to.equal(await ctx.outsider.holderOf(key))
        const waiting = locks.acquire(name, { ...options, timeout: '10s' })
        await new Promise((resolve) => setTimeout(resolve, 50))
        await ctx.outsider.releaseLock(key)
        const lock = await waiting
        await isTaken('after a wait')
        if (!('exactName' in options)) expect((await locks.list()).map((info) => info.name)).to.deep.equal([name])
        await lock.release()
        expect(await ctx.outsider.holderOf(key)).to.equal(null)
      }
    }

    for (const collation of COLLATIONS) {
      it(`has the same bytes in every statement: collation_connection = ${collation}`, async () => {
        const dataSource = await ctx.dataSource()
        const set = (connection: RawConnection) => connection.query(`SET collation_connection = ${collation}`)
        connectionsIn(dataSource).forEach(set)
        onNewConnection(dataSource, set)
        await lockEveryWay(dataSource)
      })
    }

    for (const charset of CHARSETS) {
      it(`has the same bytes in every statement: charset ${charset} of the driver`, async () => {
        await lockEveryWay(await ctx.dataSource({ extra: { charset } }))
      })
    }
  })
})
