import { expect } from 'chai'
import { forEachServer } from '../support/conformance.js'

/** What docs/transactions.md says about the keepalive on a connection that the work uses, too. */
describe('a keepalive between two statements', () => {
  forEachServer((ctx) => {
    const keepAlive = 'SELECT 1'

    beforeEach(() => ctx.notOnPostgres('sessions remember nothing of their last statement'))

    async function between(statement: string, question: string): Promise<[unknown, unknown]> {
      const answers: unknown[] = []
      for (const hasKeepAlive of [false, true]) {
        await ctx.outsider.query(statement)
        if (hasKeepAlive) await ctx.outsider.query(keepAlive)
        const [row] = await ctx.outsider.query<Record<string, unknown>>(question)
        answers.push(row && Object.values(row).map(String).join())
      }
      return [answers[0], answers[1]]
    }

    before(async () => {
      if (ctx.isPostgres) return
      await ctx.outsider.query(
        `CREATE TABLE ${ctx.database}.t (id INT PRIMARY KEY AUTO_INCREMENT, n INT) ENGINE=InnoDB`,
      )
      await ctx.outsider.query(`INSERT INTO ${ctx.database}.t (n) VALUES (1), (2), (3)`)
    })

    it('is seen by ROW_COUNT and FOUND_ROWS, and on MySQL by SHOW WARNINGS', async () => {
      const update = `UPDATE ${ctx.database}.t SET n = n + 1`
      expect(await between(update, 'SELECT ROW_COUNT()')).to.deep.equal(['3', '-1'])
      const select = `SELECT * FROM ${ctx.database}.t`
      expect(await between(select, 'SELECT FOUND_ROWS()')).to.deep.equal(['3', '1'])
      const [before, after] = await between(`DROP TABLE IF EXISTS ${ctx.database}.nothing`, 'SHOW WARNINGS')
      expect(before).to.match(/Unknown table/)
      expect(after).to.equal(ctx.kind === 'mysql' ? undefined : before)
    })

    it('is not seen by LAST_INSERT_ID, user variables, SET TRANSACTION and the snapshot', async () => {
      const insert = `INSERT INTO ${ctx.database}.t (n) VALUES (1)`
      const [before, after] = await between(insert, 'SELECT LAST_INSERT_ID()')
      expect(Number(after)).to.equal(Number(before) + 1)
      expect(await between('SET @mine = 7', 'SELECT @mine')).to.deep.equal(['7', '7'])

      const other = await ctx.connectOutsider()
      const count = `SELECT COUNT(*) FROM ${ctx.database}.t`
      await ctx.outsider.query('SET TRANSACTION ISOLATION LEVEL READ COMMITTED')
      await ctx.outsider.query(keepAlive)
      await ctx.outsider.query('START TRANSACTION')
      const first = Number(await ctx.outsider.value(count))
      await other.query(insert)
      expect(Number(await ctx.outsider.value(count)), 'at READ COMMITTED').to.equal(first + 1)
      await ctx.outsider.query('COMMIT')

      await ctx.outsider.query('START TRANSACTION')
      await ctx.outsider.query(keepAlive)
      await other.query(insert)
      expect(Number(await ctx.outsider.value(count)), 'the snapshot began later').to.equal(first + 2)
      await ctx.outsider.query('COMMIT')
    })
  })
})
