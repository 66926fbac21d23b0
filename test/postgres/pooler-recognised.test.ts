import { expect } from 'chai'
import { describe } from 'mocha'
import { NamedLockConfigurationError } from '../../src/index.js'
import { behindPgBouncer } from '../support/behind-pgbouncer.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'

const SESSION = { pooling: 'session' } as const

describe('a pooler in front of PostgreSQL', () => {
  behindPgBouncer((through, ctx) => {
    through('does no harm with session pooling', { mode: 'session' }, async (behind) => {
      const [a, b] = [await behind.service(SESSION), await behind.service(SESSION)]
      expect((await a.check()).filter(({ severity }) => severity !== 'info')).to.deep.equal([])
      const lock = await a.acquire('one')
      expect(await b.tryAcquire('one')).to.equal(null)
      const order: string[] = []
      const waiting = b.withLock('one', () => void order.push('b'))
      await until('b waits', async () => (await a.list({ waiting: true })).length === 1)
      order.push('a')
      await lock.release()
      await waiting
      expect(order).to.deep.equal(['a', 'b'])
      await a.transaction('one', async (manager) => manager.query('SELECT 1'))
    })

    for (const held of [0, 3]) {
      through(
        `needs no more connections than the pool has, with session pooling (${held} of 4 in use)`,
        { mode: 'session', poolSize: 4 },
        async (behind) => {
          const dataSource = await behind.dataSource({ poolSize: 4 })
          const runners = Array.from({ length: held }, () => dataSource.createQueryRunner())
          for (const runner of runners) await runner.query('SELECT 1')
          const locks = await behind.service(SESSION, dataSource)
          const calls = [
            () => locks.withLock('one', () => 'done'),
            () => locks.withLock('one', { session: 'dedicated' }, () => 'done'),
            () => locks.transaction('one', () => 'done'),
          ]
          for (const call of calls) expect(await settlesWithin(8_000, 'the call', call())).to.equal('done')
          expect((await locks.check()).map(({ code }) => code)).to.not.include('PROXY_MULTIPLEXES')
          for (const runner of runners) await runner.release()
        },
      )
    }

    for (const [mode, poolSize, expected] of [
      ['session', 10, []],
      // The service's own connection, and one of the probe's.
      ['session', 2, ['PROBE_INCOMPLETE']],
      ['transaction', 10, []],
      ['transaction', 1, ['PROBE_INCOMPLETE']],
    ] as const)
      through(
        `is no cause of alarm for the probe of check(): ${mode} pooling, ${poolSize} connections`,
        { mode, poolSize },
        async (behind) => {
          const locks = await behind.service({ pooling: mode })
          const findings = await locks.check({ lease: true })
          expect(findings.map(({ code }) => code)).to.deep.equal(expected)
          for (const { severity } of findings) expect(severity).to.equal('info')
          await locks.transaction('one', async (manager) => manager.query('SELECT 1'))
        },
      )

    through('frees the locks of a client that has gone, with session pooling', { mode: 'session' }, async (behind) => {
      const dataSource = await behind.dataSource()
      const locks = await behind.service(SESSION, dataSource)
      const lock = await locks.acquire('one')
      await dataSource.destroy()
      await until('the lock is lost', () => !lock.isHeld)
      await until('the lock is free', async () => (await ctx.outsider.holderOf(ctx.keyOf('one'))) === null)
    })

    for (const mode of ['transaction', 'statement'] as const) {
      for (const poolSize of [1, 10]) {
        through(
          `is refused with ${mode} pooling, as lock and as finding (${poolSize} connections)`,
          { mode, poolSize },
          async (behind) => {
            const dataSource = await behind.dataSource()
            const locks = await behind.service(SESSION, dataSource)
            for (const call of [
              () => locks.withLock('one', () => expect.fail('the work ran')),
              () => locks.tryWithLock('two', () => expect.fail('the work ran')),
              () => locks.withLock('three', { session: 'dedicated' }, () => expect.fail('the work ran')),
              () => locks.transaction('four', () => expect.fail('the work ran')),
              // A pool of one cannot look at a pooler from inside of a transaction: it has no other connection to look with.
              ...(mode === 'transaction' && poolSize > 1
                ? [() => dataSource.transaction((manager) => locks.lockTransaction(manager, 'five'))]
                : []),
            ]) {
              const error = await rejection(call(), NamedLockConfigurationError)
              expect(error.message).to.match(/PgBouncer.*pooling: 'transaction'/)
            }
            const codes = (await locks.check()).map(({ code }) => code)
            expect(codes).to.include('PROXY_MULTIPLEXES').and.not.include('LEASE_NOT_KEPT')
            expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
            const [settings] = await dataSource.query(ctx.leaseSql)
            expect(settings, 'settings that others would inherit').to.deep.equal(
              (await ctx.outsider.query(ctx.leaseSql))[0],
            )
          },
        )
      }
    }

    through('with statement pooling has no transactions for locks', { mode: 'statement' }, async (behind) => {
      const locks = await behind.service()
      expect((await locks.check()).map(({ code }) => code)).to.deep.equal(['POOLER_REFUSES_TRANSACTIONS'])
      await rejection(locks.transaction('one', () => expect.fail('the work ran')))
    })
  })
})
