import { expect } from 'chai'
import { forEachDialect } from '../support/conformance.js'
import { reasonOf } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'
import { hookStatements } from './statement-hook.js'

/*
 * A cancel names a connection and not a statement: one that is still under way when the wait has been answered would end the
 * connection's next statement. Here the cancel takes long, and the lock is granted meanwhile.
 */
describe('a cancel that is answered after its wait', () => {
  forEachDialect((ctx) => {
    it('keeps the session silent until its own answer', async function () {
      if (ctx.isPostgres) {
        this.test!.title += ' (needs MySQL or MariaDB: a wait is over in 50 ms there, mostly before it is cancelled)'
        this.skip()
      }
      const dataSource = await ctx.dataSource()
      const locks = await ctx.service({}, dataSource)
      await locks.withLock('warm', () => undefined) // the shared session is open
      const key = ctx.keyOf('late')
      await ctx.outsider.getLock(key)
      const hook = hookStatements(dataSource)
      const events: { what: 'sent' | 'answered'; sql: string; connectionId: string }[] = []
      let target: string | undefined
      hook.rewrite = (sql) => {
        target ??= /KILL QUERY (\d+)/.exec(sql)?.[1]
        if (!/KILL QUERY/.test(sql)) return sql
        return 'DO SLEEP(0.5)'
      }
      hook.afterSend = ({ sql, connectionId }) => void events.push({ what: 'sent', sql, connectionId })
      hook.onAnswer = ({ sql, connectionId }) => void events.push({ what: 'answered', sql, connectionId })
      const controller = ctx.abortController()
      const outcome = reasonOf(locks.acquire('late', { signal: controller.signal, timeout: '20s' }))
      await until('the wait', async () => {
        const connections = await ctx.outsider.connectionsOf(ctx.database)
        return connections.some(({ statement }) => /GET_LOCK/.test(statement ?? ''))
      })
      controller.abort('enough')
      expect(await outcome).to.equal('enough')
      await until('the cancel', () => target !== undefined)
      await ctx.outsider.releaseLock(key)
      const isCancel = ({ sql }: { sql: string }): boolean => /KILL QUERY/.test(sql)
      await until('its answer', () => events.some((event) => isCancel(event) && event.what === 'answered'))
      await settlesWithin(5_000, 'the end of the service', locks.close())
      const cancelled = events.findIndex((event) => isCancel(event) && event.what === 'sent')
      const answered = events.findIndex((event) => isCancel(event) && event.what === 'answered')
      const sent = events
        .map((event, i) => ({ ...event, i }))
        .filter((one) => one.what === 'sent' && one.connectionId === target)
      expect(sent.filter(({ i }) => i > cancelled && i < answered).map(({ sql }) => sql)).to.deep.equal([])
      expect(
        sent.some(({ i }) => i > answered),
        'the session goes on',
      ).to.equal(true)
      expect(await ctx.outsider.getLock(key), 'the lock that no caller waits for is free').to.equal(true)
    })
  })
})
