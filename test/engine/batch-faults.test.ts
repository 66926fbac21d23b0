import { expect } from 'chai'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { NamedLockError, type NamedLock, type NamedLockService } from '../../src/index.js'
import { forEachServer } from '../support/conformance.js'
import type { SqlClient } from '../support/sql-client.js'
import { settlesWithin, until } from '../support/until.js'
import { hookStatements, sleepingBatch, type SentStatement } from './statement-hook.js'

const CALLERS = 100
const names = Array.from({ length: CALLERS }, (_, i) => `n${i}`)

describe('a statement with a hundred requests', () => {
  forEachServer((ctx) => {
    /** The holder of each lock, by one look at the server. */
    async function holders(client: SqlClient): Promise<Map<string, string>> {
      const rows = await client.userLocksOf(ctx.database)
      const granted = rows.filter(({ status, isMark }) => status === 'GRANTED' && !isMark)
      return new Map(granted.map((row) => [row.key, row.connectionId]))
    }

    /** Released means free: one release undoes whatever the server counts. */
    async function expectAllFree(client: SqlClient): Promise<void> {
      await until('all locks to be free', async () => (await holders(client)).size === 0, { within: 10_000 })
    }

    /** Each handle has the lock that it believes in, and each lock has a handle. */
    async function expectTruth(locks: readonly (NamedLock | null)[]): Promise<void> {
      // A killed connection gives its locks up one by one, after it has left the list of connections.
      await until('the server to have what the handles say', async () => {
        const onServer = await holders(ctx.outsider)
        const believed = new Set(locks.flatMap((lock) => (lock?.isHeld ? [lock.key] : [])))
        for (const key of believed) if (!onServer.has(key)) throw new Error(`${key} is held by its handle alone`)
        for (const key of onServer.keys()) {
          if (!believed.has(key)) throw new Error(`${key} is owned by no handle`)
        }
        return true
      })
    }

    async function hooked() {
      const dataSource = await ctx.dataSource({ poolSize: 8 })
      const locks = await ctx.service({}, dataSource)
      await (await locks.acquire('warm')).release()
      const killer = await ctx.connectOutsider()
      return { dataSource, locks, killer, hook: hookStatements(dataSource) }
    }

    /** A hundred callers in one turn; what each of them comes to. */
    function acquireAll(locks: NamedLockService): Promise<(NamedLock | null)[]> {
      const calls = names.map((name) => locks.acquire(name, { timeout: '5s' }).catch(onlyNamedLockErrors))
      return settlesWithin(8_000, 'a hundred callers', Promise.all(calls))
    }

    /** Kills a connection `after` so many milliseconds; the killed one is gone, and its end is known here, when it resolves. */
    async function kill(killer: SqlClient, connectionId: string, after = 0): Promise<void> {
      if (after > 0) await sleep(after)
      await killer.kill(connectionId).catch(() => undefined)
      await until('the connection to be gone', async () => {
        const all = await killer.connectionsOf(ctx.database)
        return !all.some(({ id }) => id === connectionId)
      })
    }

    for (const when of ['before it is executed', 'while it is executed', 'before it is answered'] as const) {
      it(`on a connection that dies ${when}: every caller has an outcome of its own`, async function () {
        this.timeout(60_000)
        const { locks, killer, hook } = await hooked()
        for (let round = 0; round < 12; round++) {
          let killed: Promise<void> | undefined
          hook.afterSend = ({ requests, connectionId }: SentStatement) => {
            // The first request may go out alone, while the others gather.
            if (requests < (when === 'before it is executed' ? 1 : CALLERS / 4)) return
            hook.afterSend = undefined
            killed = kill(killer, connectionId, when === 'before it is answered' ? 1 + (round % 3) : 0)
          }
          const held = await acquireAll(locks)
          await until('the kill', () => killed !== undefined)
          await killed
          await expectTruth(held)
          for (const lock of held) if (lock?.isHeld) expect(await lock.verify(), lock.name).to.equal(true)
          await settlesWithin(3_000, 'the releases', releaseAll(held))
          await expectAllFree(ctx.outsider)
        }
      })
    }

    it('of all kinds, on a connection that dies: releases end, losses are known, newcomers get their locks', async function () {
      this.timeout(60_000)
      const { locks, killer, hook } = await hooked()
      for (let round = 0; round < 12; round++) {
        const held = await acquireAll(locks)
        const later = held.map(async (lock) => {
          return lock && locks.acquire(lock.name, { timeout: '5s' }).catch(onlyNamedLockErrors)
        })
        let killed: Promise<void> | undefined
        hook.afterSend = ({ requests, connectionId }) => {
          if (requests < CALLERS / 4) return
          hook.afterSend = undefined
          killed = kill(killer, connectionId, round % 4)
        }
        const half = held.map(async (lock, i) => (i % 2 === 0 ? lock?.release() : lock?.verify()))
        const others = names.map((name) => locks.acquire(`other-${name}`, { timeout: '5s' }).catch(onlyNamedLockErrors))
        await settlesWithin(3_000, 'releases and checks', Promise.all(half))
        const newcomers = await settlesWithin(6_000, 'callers of other locks', Promise.all(others))
        await releaseAll(held)
        const heirs = await settlesWithin(6_000, 'the callers that waited', Promise.all(later))
        await until('the kill', () => killed !== undefined)
        await killed
        await expectTruth([...newcomers, ...heirs])
        await settlesWithin(3_000, 'the releases', releaseAll([...newcomers, ...heirs]))
        await expectAllFree(ctx.outsider)
      }
    })

    it('that is killed by KILL QUERY in its middle: no caller notices, and one release is enough', async function () {
      this.timeout(60_000)
      const { locks, killer, hook } = await hooked()
      let interrupted = 0
      hook.onAnswer = ({ requests }, error, rows) => {
        if (requests < 2) return
        const answers = String((rows as string[][] | undefined)?.[0]?.[0] ?? '').split(',').length
        if (error || answers < requests) interrupted++
      }
      // A server that takes its time in the middle of the statement, and there looks whether it is to go on.
      let middle = 0
      hook.rewrite = (sql, requests) => {
        let count = 0
        if (requests < 10) return sql
        if (ctx.isPostgres) return sleepingBatch(sql, middle)
        return sql.replace(/\b(?:GET|RELEASE)_LOCK\([^)]*\)/g, (request) => {
          return count++ === middle
            ? `IF((SELECT SUM(SLEEP(0.01)) FROM (SELECT 1 UNION SELECT 2 UNION SELECT 3) t)>=0,${request},0)`
            : request
        })
      }
      for (let round = 0; round < 60; round++) {
        middle = (round * 7) % 49
        const isOnce = round % 2 === 0
        const kills: Promise<unknown>[] = []
        hook.afterSend = ({ requests, connectionId }) => {
          if (requests < 10) return
          if (isOnce) hook.afterSend = undefined
          kills.push(sleep(5).then(() => killer.cancel(connectionId).catch(() => undefined)))
        }
        const held = await acquireAll(locks)
        await expectTruth(held)
        // A request is tried twice; what fails both times is the database's error.
        if (isOnce) for (const lock of held) expect(lock?.isHeld, `a caller in round ${round}`).to.equal(true)
        await settlesWithin(3_000, 'the releases', releaseAll(held))
        await expectAllFree(ctx.outsider)
        await Promise.all(kills)
      }
      expect(interrupted, 'statements that were really interrupted').to.be.at.least(50)
    })

    it('keeps the others from locks that are lost when the first callers keep the process busy for longer than the lease', async () => {
      const locks = await ctx.service({ lease: '2s', timeout: '8s' })
      await (await locks.acquire('warm')).release()
      const wereHeld: boolean[] = []
      const calls = names.map(async (name, i) => {
        const lock = await locks.acquire(name)
        // One of the crowd that is answered first is busy. None of these looks at its lock or gives it back: that would tell.
        const end = performance.now() + (i === 5 ? 2_200 : 0)
        while (performance.now() < end);
        if (i > CALLERS / 2) wereHeld.push(lock.isHeld)
        return lock
      })
      const held = await settlesWithin(10_000, 'a hundred callers', Promise.all(calls))
      expect(wereHeld).to.deep.equal(wereHeld.map(() => true))
      await Promise.all(held.map((lock) => lock.release()))
      await expectAllFree(ctx.outsider)
    })

    it('that passes turns on is killed by KILL QUERY: never two holders', async function () {
      this.timeout(60_000)
      const options = { handOver: { times: 0 } }
      const services = await Promise.all([ctx.service(options), ctx.service({ ...options, maxSessions: 1 })])
      const killer = await ctx.connectOutsider()
      const end = performance.now() + 3_000
      const inside = new Map<string, NamedLock>()
      const problems: string[] = []
      let rounds = 0
      const caller = async (locks: NamedLockService, name: string) => {
        while (performance.now() < end) {
          await locks
            .withLock(name, { timeout: '5s' }, async (lock) => {
              const other = inside.get(name)
              // A lock that was lost is no lock: its holder has been told.
              if (other?.isHeld && lock.isHeld) problems.push(`two holders of '${name}'`)
              inside.set(name, lock)
              await turn()
              if (inside.get(name) === lock) inside.delete(name)
              rounds++
            })
            .catch(onlyNamedLockErrors)
        }
      }
      const storm = async () => {
        while (performance.now() < end) {
          for (const { id, statement } of await ctx.outsider.connectionsOf(ctx.database)) {
            if (/RELEASE_LOCK|advisory_unlock|named_lock/.test(statement ?? '') || Math.random() < 0.2)
              await killer.cancel(id).catch(() => undefined)
          }
          await sleep(3)
        }
      }
      const callers = names.slice(0, 12).flatMap((name) => {
        return services.flatMap((locks) => [caller(locks, name), caller(locks, name), caller(locks, name)])
      })
      await settlesWithin(15_000, 'all callers', Promise.all([storm(), ...callers]))
      expect(problems).to.deep.equal([])
      expect(rounds).to.be.at.least(100)
      await until('all locks to be free', async () => (await holders(ctx.outsider)).size === 0)
    })
  })
})

async function releaseAll(locks: readonly (NamedLock | null)[]): Promise<void> {
  await Promise.all(locks.map(async (lock) => lock?.release()))
}

function onlyNamedLockErrors(error: unknown): null {
  if (error instanceof NamedLockError) return null
  throw error
}
