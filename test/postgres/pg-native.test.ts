import { expect } from 'chai'
import { describe } from 'mocha'
import { NamedLockConfigurationError, NamedLockTimeoutError } from '../../src/index.js'
import { behindPgBouncer, type Behind } from '../support/behind-pgbouncer.js'
import { nativeDriver } from '../support/pg-native.js'
import { rejection } from '../support/rejection.js'
import type { DataSource } from '../support/typeorms.js'

describe('pg-native, which TypeORM takes when it is installed', () => {
  behindPgBouncer((through, ctx) => {
    async function open(behind: Behind, driver: object): Promise<DataSource> {
      const { kind: type, ...address } = { ...ctx.address, ...behind.pooler.address }
      const { DataSource } = ctx.typeorm.module
      return new DataSource({ type, ...address, ...driver, poolSize: 6 }).initialize()
    }

    for (const mode of ['session', 'transaction'] as const) {
      for (const poolSize of mode === 'session' ? [20] : [1, 10]) {
        const title = mode === 'session' ? 'holds locks' : `is refused (${poolSize} connections)`
        through(`${title} behind a pooler that pools ${mode}s`, { mode, poolSize }, async (behind) => {
          const driver = await nativeDriver()
          if (!driver) {
            ctx.currentTest!.title += ' (needs pg-native, which could not be built)'
            ctx.currentTest!.ctx!.skip()
          }
          const dataSource = await open(behind, driver!)
          const locks = await behind.service({ pooling: 'session', timeout: '5s' }, dataSource)
          try {
            if (mode === 'session') await holdsLocks(locks)
            else await isRefused(locks)
            const [settings] = await dataSource.query(ctx.leaseSql)
            await locks.close()
            if (mode === 'transaction') {
              expect(settings, 'settings that others would inherit').to.deep.equal(
                (await ctx.outsider.query(ctx.leaseSql))[0],
              )
              const [prepared] = await dataSource.query('SELECT count(*)::int AS n FROM pg_prepared_statements')
              expect(prepared.n).to.equal(0)
            }
          } finally {
            await locks.close()
            await dataSource.destroy()
          }
        })
      }
    }

    async function holdsLocks(locks: Awaited<ReturnType<Behind['service']>>): Promise<void> {
      const other = await ctx.service()
      const lock = await locks.acquire('one')
      expect(await other.tryAcquire('one')).to.equal(null)
      await rejection(
        other.withLock('one', { timeout: 100 }, () => {}),
        NamedLockTimeoutError,
      )
      const waiting = other.withLock('one', () => 'got')
      await lock.release()
      expect(await waiting).to.equal('got')
      let count = 0
      await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          (i % 2 ? locks : other).transaction('sum', async (manager) => {
            const before = count
            await manager.query('SELECT 1')
            count = before + 1
          }),
        ),
      )
      expect(count).to.equal(20)
      expect((await locks.check()).map(({ code }) => code)).to.not.include('PROXY_MULTIPLEXES')
    }

    async function isRefused(locks: Awaited<ReturnType<Behind['service']>>): Promise<void> {
      const calls = [
        locks.withLock('one', () => expect.fail('the work ran')),
        locks.withLock('two', { session: 'dedicated' }, () => expect.fail('the work ran')),
        locks.transaction('three', () => expect.fail('the work ran')),
      ]
      const errors = await Promise.all(calls.map((call) => rejection(call, NamedLockConfigurationError)))
      for (const { message } of errors) expect(message).to.match(/pooling: 'transaction'/)
      expect((await locks.check()).map(({ code }) => code)).to.include('PROXY_MULTIPLEXES')
      expect(await ctx.outsider.userLocksOf(ctx.database)).to.deep.equal([])
    }
  })
})
