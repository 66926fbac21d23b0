import { expect } from 'chai'
import { NamedLockError, type NamedLockService } from '../../src/index.js'
import { forEachDialect } from '../support/conformance.js'
import { settlesWithin, until } from '../support/until.js'
import { hookStatements } from './statement-hook.js'

/** What a proxy, a fork or a plug-in might make of an answer. The statement has been carried out all the same. */
const GARBAGE: Readonly<Record<string, (answer: string, isPostgres: boolean) => string>> = {
  'another number': (answer, isPostgres) => (isPostgres ? `(${answer})::int + 1` : `(${answer})+1`),
  'a word': (answer, isPostgres) => (isPostgres ? `'yes'||(${answer})` : `CONCAT('yes',${answer})`),
  'a fraction': (answer, isPostgres) => (isPostgres ? `(${answer})::numeric*1.50` : `(${answer})*1.50`),
  NULL: (answer, isPostgres) => (isPostgres ? `nullif(left(${answer},0),'')` : `NULLIF(LEFT(${answer},0),'')`),
  'nothing in it': (answer, isPostgres) => (isPostgres ? `left((${answer})::text,0)` : `LEFT(${answer},0)`),
  'one answer too many': (answer, isPostgres) => (isPostgres ? `(${answer})||',1'` : `CONCAT(${answer},',1')`),
}

/** The ways to a lock, with the statements that take and give it. */
const WAYS: Readonly<Record<string, (locks: NamedLockService, name: string) => Promise<unknown>>> = {
  alone: (locks, name) => locks.withLock(name, () => {}),
  'among others': (locks, name) =>
    Promise.all(['', ' b', ' c', ' d'].map((more) => locks.withLock(name + more, () => {}))),
  'on a connection of its own': (locks, name) => locks.withLock(name, { session: 'dedicated' }, () => {}),
  'with a transaction': (locks, name) => locks.transaction(name, () => Promise.resolve()),
  'without waiting': (locks, name) => locks.tryWithLock(name, () => {}),
}

describe('an unexpected answer', () => {
  forEachDialect((ctx) => {
    for (const [what, garbage] of Object.entries(GARBAGE)) {
      for (const [how, call] of Object.entries(WAYS)) {
        it(`is never taken for "busy", and leaves no lock behind: ${what}, ${how}`, async () => {
          const dataSource = await ctx.dataSource()
          const hook = hookStatements(dataSource)
          const locks = await ctx.service({ timeout: '2s' }, dataSource)
          await call(locks, 'before')
          for (const pattern of [/GET_LOCK|pg_try_advisory_lock/, /RELEASE_LOCK|advisory_unlock/]) {
            let spoilt = 0
            hook.rewrite = (sql) => {
              const [, answer] = /^SELECT (.*) AS r$/s.exec(sql) ?? []
              if (answer === undefined || !pattern.test(answer) || spoilt > 0) return sql
              spoilt++
              return `SELECT ${garbage(answer, ctx.isPostgres)} AS r`
            }
            // It succeeds where what is owned could be found out, and says why where not.
            const outcome = await settlesWithin(4_000, 'the call', call(locks, 'name')).catch((error: unknown) => error)
            if (outcome instanceof Error) expect(outcome).to.be.instanceOf(NamedLockError)
            hook.rewrite = undefined
            const isFree = async () => (await ctx.outsider.holderOf(ctx.keyOf('name'))) === null
            await until('the server has no lock of ours', isFree)
          }
          await settlesWithin(2_000, 'the next call', call(locks, 'name'))
        })
      }
    }
  })
})
