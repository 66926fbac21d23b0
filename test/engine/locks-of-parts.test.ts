import { expect } from 'chai'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  NamedLockClosedError,
  NamedLockConfigurationError,
  NamedLockError,
  NamedLockLostError,
  NamedLockTimeoutError,
} from '../../src/index.js'
import { forEachServer, type Conformance } from '../support/conformance.js'
import { rejection } from '../support/rejection.js'
import { settlesWithin, until } from '../support/until.js'
import { cancelled, hookStatements, type SentStatement, type StatementHook } from './statement-hook.js'

const read = { mode: 'read' } as const
const write = { mode: 'write' } as const

/** What happens to a statement about all slots of a writer. */
type Fault = (hook: StatementHook, ctx: Conformance) => void

const isAboutAll = ({ sql }: { sql: string }): boolean => sql.length > 5_000 && !sql.includes('IS_USED_LOCK')

const faults: Record<string, Fault> = {
  'is executed, and its answer is lost': (hook) => {
    hook.spoil = (statement: SentStatement) => {
      if (!isAboutAll(statement)) return undefined
      hook.spoil = undefined
      return cancelled(false)
    }
  },
  'is interrupted in the middle': (hook, ctx) => {
    hook.rewrite = (sql) => {
      if (!isAboutAll({ sql })) return sql
      hook.rewrite = undefined
      hook.afterSend = ({ connectionId }) => {
        hook.afterSend = undefined
        setTimeout(() => void ctx.outsider.cancel(connectionId).catch(() => undefined), 30)
      }
      let at = 0
      return sql.replace(/(GET|RELEASE)_LOCK\([^)]*\)/g, (call) => (++at === 30 ? `IF(SLEEP(0.2)>=0,${call},0)` : call))
    }
  },
}

describe('a lock of several parts', () => {
  forEachServer((ctx) => {
    /** How many locks all connections have on the server, marks apart. */
    async function parts(): Promise<number> {
      const rows = await ctx.outsider.userLocksOf(ctx.database)
      return rows.filter(({ status, isMark }) => status === 'GRANTED' && !isMark).length
    }
    const partsAre = (count: number) => until(`${count} locks on the server`, async () => (await parts()) === count)

    beforeEach(() => {
      ctx.notOnPostgres('its locks have one part')
    })

    it('is taken and released whole: nothing is left behind by tries, aborts, timeouts and the end of the service', async () => {
      const [locks, other] = [await ctx.service(), await ctx.service({}, await ctx.dataSource())]
      const reader = await other.acquire('a', read)
      expect(await locks.tryAcquire('a', write)).to.equal(null)
      expect(await parts()).to.equal(1)
      const giveUp = ctx.abortController()
      const writing = rejection(locks.acquire('a', { ...write, signal: giveUp.signal }))
      await partsAre(1 + 64) // the gate, and all slots but the reader's
      const rushed = rejection(locks.acquire('a', { ...write, timeout: 100 }), NamedLockTimeoutError)
      await rushed
      giveUp.abort()
      await writing
      await partsAre(1)
      const late = rejection(locks.acquire('a', { ...write, timeout: 80 }), NamedLockTimeoutError)
      await late
      await partsAre(1)
      const closed = rejection(locks.acquire('a', write), NamedLockClosedError)
      await partsAre(1 + 64)
      await settlesWithin(10_000, 'close()', locks.close())
      await closed
      await partsAre(1)
      await reader.release()
      await partsAre(0)
    })

    for (const [what, fault] of Object.entries(faults)) {
      it(`stays exact when a statement about all parts ${what}`, async function () {
        this.timeout(30_000)
        const dataSource = await ctx.dataSource({ poolSize: 8 })
        const locks = await ctx.service({}, dataSource)
        await (await locks.acquire('warm')).release()
        const hook = hookStatements(dataSource)
        for (const session of ['shared', 'dedicated'] as const) {
          fault(hook, ctx)
          const lock = await locks.acquire('a', { ...write, session, timeout: '5s' }).catch((error: unknown) => error)
          if (lock instanceof Error) expect(lock).to.be.instanceOf(NamedLockError)
          else {
            const held = lock as Awaited<ReturnType<typeof locks.acquire>>
            expect(await held.verify(), session).to.equal(true)
            expect(await parts()).to.equal(65)
            fault(hook, ctx)
            await held.release().catch((error: unknown) => expect(error).to.be.instanceOf(NamedLockError))
          }
          await partsAre(0)
          fault(hook, ctx)
          const reader = await locks.acquire('a', { ...read, session, timeout: '5s' }).catch((error: unknown) => error)
          if (!(reader instanceof Error)) {
            expect(await parts()).to.equal(1)
            await (reader as Awaited<ReturnType<typeof locks.acquire>>).release().catch(() => undefined)
          }
          await partsAre(0)
          hook.spoil = hook.rewrite = hook.afterSend = undefined
        }
        const waiting = await locks.acquire('a', { ...read, session: 'dedicated' })
        fault(hook, ctx)
        const writing = locks.acquire('a', { ...write, timeout: '10s' })
        await partsAre(65)
        await waiting.release()
        const writer = await writing
        expect(await writer.verify()).to.equal(true)
        expect(await parts()).to.equal(65)
        await writer.release().catch(() => undefined)
        await partsAre(0)
      })
    }

    for (const maxSessions of [1, 3]) {
      it(`is waited for again when the connection of a writer at the gate is killed (maxSessions: ${maxSessions})`, async () => {
        const [locks, other] = [await ctx.service({ maxSessions }), await ctx.service({}, await ctx.dataSource())]
        const reader = await other.acquire('a', read)
        const writing = locks.acquire('a', { ...write, timeout: '20s' })
        for (let i = 0; i < 2; i++) {
          await partsAre(65)
          const holder = await ctx.outsider.holderOf(ctx.keyOf('a'))
          await ctx.outsider.kill(String(holder))
          await until('the gate has another holder', async () => {
            const now = await ctx.outsider.holderOf(ctx.keyOf('a'))
            return now !== null && now !== holder
          })
        }
        await partsAre(65)
        await reader.release()
        const writer = await writing
        expect(await writer.verify()).to.equal(true)
        await writer.release()
        await partsAre(0)
      })
    }

    it('is lost when the session loses one of its parts', async () => {
      const locks = await ctx.service()
      for (const part of [ctx.keyOf('a'), `${ctx.keyOf('a')}~r17`]) {
        const lost = await rejection(
          locks.withLock('a', { ...write, session: 'dedicated' }, async (lock) => {
            await lock.manager.query('SELECT RELEASE_LOCK(?)', [part])
            expect(await lock.verify()).to.equal(false)
          }),
          NamedLockLostError,
        )
        expect(lost.name).to.equal('NamedLockLostError')
        await partsAre(0)
      }
    })

    it('names its holder: the writer, else a reader, else the writer that waits', async () => {
      const [locks, other] = [await ctx.service(), await ctx.service({}, await ctx.dataSource())]
      const writer = await locks.acquire('a', write)
      const writerId = (await other.holder('a'))?.connectionId
      expect(writerId).to.equal(await ctx.outsider.holderOf(ctx.keyOf('a')))
      expect((await other.list()).map(({ name, mode, holders }) => [name, mode, holders.length])).to.deep.equal([
        ['a', 'write', 1],
      ])
      await writer.release()
      expect(await other.isLocked('a')).to.equal(false)
      const reader = await other.acquire('a', { ...read, session: 'dedicated' })
      const readerId = (await locks.holder('a'))?.connectionId
      const writing = locks.acquire('a', write)
      await partsAre(65)
      expect((await locks.holder('a'))?.connectionId).to.equal(readerId)
      expect(await locks.isLocked('a')).to.equal(true)
      const [entry] = await other.list()
      expect([entry?.mode, entry?.holder.connectionId, entry?.waiters.length]).to.deep.equal(['read', readerId, 1])
      await reader.release()
      await (await writing).release()
    })

    it('is one lock for all services of a DataSource, in transactions, and for names with a hash', async () => {
      const dataSource = await ctx.dataSource({ poolSize: 10 })
      const [one, two, three] = [
        await ctx.service({}, dataSource),
        await ctx.service({ lease: '20s' }, dataSource),
        await ctx.service({ lease: '25s' }, dataSource),
      ]
      const name = `Prices ${'é'.repeat(40)}`
      let inside = 0
      let finish = (): void => {}
      const ended = new Promise<void>((resolve) => (finish = resolve))
      const work = async (): Promise<void> => {
        inside++
        await ended
      }
      const reading = [
        one.transaction(name, read, work),
        two.withLock(name, read, work),
        two.transaction(name, read, work),
        one.withLock(name, { ...read, session: 'dedicated' }, work),
      ]
      await until('all readers are inside', () => inside === 4)
      expect(await parts()).to.equal(4)
      expect((await one.list()).map(({ name: found, mode, holders }) => [found, mode, holders.length])).to.deep.equal([
        [name, 'read', 4],
      ])
      let wrote = false
      const writing = three.transaction(name, { ...write, timeout: '20s' }, () => (wrote = true))
      await partsAre(65)
      expect(await one.tryAcquire(name, read), 'a reader behind a writer').to.equal(null)
      await sleep(30)
      expect(wrote).to.equal(false)
      finish()
      await Promise.all([...reading, writing])
      await partsAre(0)
    })

    it('is refused as an ordinary lock in every service of the DataSource, and the other way round', async () => {
      const dataSource = await ctx.dataSource()
      // With one core, and with a core of its own.
      const [one, two, three] = [
        await ctx.service({ namespace: 'here' }, dataSource),
        await ctx.service({ namespace: 'here' }, dataSource),
        await ctx.service({ namespace: 'here', lease: '20s' }, dataSource),
      ]
      const elsewhere = await ctx.service({ namespace: 'elsewhere' }, dataSource)
      await one.withLock('moded', read, () => undefined)
      await three.withLock('plain', () => undefined)
      for (const locks of [one, two, three]) {
        const plain = await rejection(locks.acquire('moded'), NamedLockConfigurationError)
        expect(plain.message).to.match(/the name 'moded' is requested without a mode, and .* with one before/)
        const moded = await rejection(
          locks.transaction('plain', write, () => undefined),
          NamedLockConfigurationError,
        )
        expect(moded.message).to.match(/the name 'plain' is requested with a mode, and .* without one before/)
      }
      await elsewhere.withLock('moded', () => undefined)
      await elsewhere.withLock('plain', read, () => undefined)
      // What a service knew of its names ends with it.
      await Promise.all([one.close(), three.close()])
      await two.withLock('moded', () => undefined)
      await two.withLock('plain', read, () => undefined)
    })

    it('is refused as an ordinary lock by its key, however the name is written', async () => {
      const dataSource = await ctx.dataSource()
      const namespace = `${ctx.database}_n`
      const whole = await ctx.service({ namespace: false }, dataSource)
      const inside = await ctx.service({ namespace }, dataSource)
      const refused = (call: Promise<unknown>) => rejection(call, NamedLockConfigurationError)
      await inside.withLock(42n, () => undefined)
      for (const name of [42n, '42']) await refused(inside.acquire(name, read))
      await refused(whole.acquire(`${namespace}.42`, write))
      await whole.withLock(`${namespace}.moded`, write, () => undefined)
      await refused(inside.acquire('moded'))
      await inside.withLock(43n, read, () => undefined)
      for (const name of [43n, '43']) await refused(inside.acquire(name))
    })

    it('keeps an ordinary caller of another process away from a writer', async () => {
      const [locks, other] = [await ctx.service(), await ctx.service({}, await ctx.dataSource())]
      const writer = await locks.acquire('a', write)
      expect(await other.tryAcquire('a')).to.equal(null)
      await writer.release()
      const ordinary = await other.acquire('a')
      expect(await locks.tryAcquire('a', write)).to.equal(null)
      expect(await locks.tryAcquire('a', read)).to.equal(null)
      await ordinary.release()
    })
  })
})
