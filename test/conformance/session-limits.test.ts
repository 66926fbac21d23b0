import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { connectionsIn, onNewConnection, type RawConnection } from '../support/typeorms.js'
import { until } from '../support/until.js'

const LIMITS = ['idle_transaction_timeout', 'idle_readonly_transaction_timeout', 'idle_write_transaction_timeout']

describe('the settings and notes of a session', () => {
  forEachDialectAndTypeorm((ctx) => {
    beforeEach(() => ctx.notOnPostgres('its settings have tests of their own'))

    for (const limit of LIMITS) {
      it(`let a silent transaction outlive ${limit}, which is restored on the connection afterwards`, async function () {
        if (ctx.kind !== 'mariadb') this.skip()
        const dataSource = await ctx.dataSource({ poolSize: 4 })
        const set = (connection: RawConnection) => connection.query(`SET SESSION ${limit}=1`)
        connectionsIn(dataSource).forEach(set)
        onNewConnection(dataSource, set)
        const locks = await ctx.service({}, dataSource)
        await dataSource.query('CREATE TABLE IF NOT EXISTS silent (n INT)')
        await locks.transaction('silent', async (manager) => {
          await manager.query(limit.includes('readonly') ? 'SELECT * FROM silent' : 'INSERT INTO silent VALUES (1)')
          await sleep(1_700)
          await manager.query('SELECT 1')
        })
        await dataSource.transaction(async (manager) => {
          await locks.lockTransaction(manager, 'silent')
          await manager.query('INSERT INTO silent VALUES (2)')
          await sleep(1_700)
        })
        await locks.close()
        for (const connection of connectionsIn(dataSource)) {
          const value = await new Promise((resolve, reject) => {
            connection.query(`SELECT @@SESSION.${limit} AS v`, (error: Error | null, rows: { v: unknown }[]) =>
              error ? reject(error) : resolve(Number(rows[0]?.v)),
            )
          })
          expect(value).to.equal(1)
        }
      })
    }

    it('do not remain on the connection for its next user', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 2 })
      const notes = () =>
        ctx.outsider.query(
          "SELECT VARIABLE_VALUE AS v FROM performance_schema.user_variables_by_thread WHERE VARIABLE_NAME='typeorm-named-lock' AND LENGTH(VARIABLE_VALUE)>0",
        )
      const first = await ctx.service({}, dataSource)
      const lock = await first.acquire('noted')
      await until('there is a note', async () => (await notes()).length > 0, { within: 5_000 })
      await lock.release()
      await first.close()
      expect(await notes()).to.deep.equal([])
    })
  })
})
