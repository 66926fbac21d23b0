import { expect } from 'chai'
import { inspect } from 'node:util'
import { InvalidLockNameError, NamedLockConfigurationError, NamedLockService } from '../../src/index.js'
import { forEachDialectAndTypeorm } from '../support/conformance.js'
import { reasonOf, rejection } from '../support/rejection.js'

const badTimeouts: unknown[] = [
  -1,
  -0.001,
  NaN,
  -Infinity,
  '',
  'soon',
  '5 parsecs',
  '-5s',
  '5w',
  '1e3',
  null,
  true,
  {},
  5n,
]

const badOptions: unknown[] = [
  { timeuot: '5s' },
  { Timeout: 5 },
  { reentrant: 'yes' },
  { exactName: 1 },
  { session: 'own' },
  { signal: new AbortController() },
  { timeout: 5, isolation: 'SERIALIZABLE' },
  '5s',
  5,
  null,
  [],
]

const badNames: unknown[] = [
  '',
  'x'.repeat(1025),
  '\ud800',
  'a\udc00b',
  42,
  null,
  undefined,
  {},
  [],
  [''],
  ['a', ''],
  [['a']],
  Symbol('a'),
]

const badServiceOptions: Record<string, unknown>[] = [
  { timeuot: '5s' },
  { timeout: -1 },
  { timeout: 'soon' },
  { lease: 999 },
  { lease: Infinity },
  { maxSessions: 0 },
  { maxSessions: 1.5 },
  { connections: 'mine' },
  { closeTimeout: NaN },
  { handOver: { times: -1 } },
  { handOver: { tiems: 1 } },
  { insideTransaction: 'ignore' },
  { ambientTransactions: 'yes' },
  { outsideTransaction: 'ignore' },
  { namespace: '' },
]

describe('invalid arguments', () => {
  forEachDialectAndTypeorm((ctx) => {
    /** Runs `misuse` and proves that meanwhile no connection sent anything to the server. */
    async function withoutSql(misuse: () => Promise<void>): Promise<void> {
      const first = await ctx.outsider.counters()
      const second = await ctx.outsider.counters()
      await misuse()
      const third = await ctx.outsider.counters()
      const ownStatements = second.statements - first.statements
      expect(third.statements - second.statements, 'statements on the server').to.equal(ownStatements)
      expect(third.connections, 'connections of the server').to.equal(second.connections)
    }

    async function everyCallRejects(
      locks: NamedLockService,
      name: any,
      options: any,
      type: typeof NamedLockConfigurationError | typeof InvalidLockNameError,
    ): Promise<void> {
      const what = `name ${show(name)}, options ${show(options)}`
      const work = () => expect.fail(`the work ran: ${what}`)
      const calls = [
        () => locks.acquire(name, options),
        () => locks.tryAcquire(name, options),
        () => locks.withLock(name, options, work),
        () => locks.tryWithLock(name, options, work),
      ]
      for (const call of calls) {
        const error = await reasonOf(call())
        expect(error, `${what}, ${call.toString()}`).to.be.instanceOf(type)
        expect((error as Error).message, what).to.have.length.greaterThan(20)
      }
    }

    it('rejects invalid timeouts, before any SQL', async () => {
      const locks = await ctx.service()
      await withoutSql(async () => {
        for (const timeout of badTimeouts as never[]) {
          const what = `timeout ${String(timeout)}`
          const errors = await Promise.all([
            rejection(locks.acquire('a', { timeout }), NamedLockConfigurationError),
            rejection(locks.tryAcquire('a', { timeout }), NamedLockConfigurationError),
            rejection(
              locks.withLock('a', { timeout }, () => expect.fail(what)),
              NamedLockConfigurationError,
            ),
            rejection(
              locks.tryWithLock('a', { timeout }, () => expect.fail(what)),
              NamedLockConfigurationError,
            ),
          ])
          for (const error of errors) expect(error.message, what).to.include('timeout')
        }
      })
    })

    it('rejects unknown options and wrong ones, before any SQL', async () => {
      const locks = await ctx.service()
      await withoutSql(async () => {
        for (const options of badOptions) await everyCallRejects(locks, 'a', options, NamedLockConfigurationError)
      })
    })

    it('rejects invalid names, before any SQL', async () => {
      const locks = await ctx.service()
      await withoutSql(async () => {
        for (const name of badNames) await everyCallRejects(locks, name, undefined, InvalidLockNameError)
      })
    })

    it('rejects work other than a function, before any SQL', async () => {
      const locks = await ctx.service()
      await withoutSql(async () => {
        for (const work of [undefined, null, 'work', {}] as never[]) {
          await rejection(locks.withLock('a', { timeout: 1 }, work), NamedLockConfigurationError)
          await rejection(locks.tryWithLock('a', { timeout: 1 }, work), NamedLockConfigurationError)
        }
      })
    })

    it('refuses invalid options of a service, before any SQL', async () => {
      const dataSource = await ctx.dataSource()
      await withoutSql(async () => {
        for (const options of badServiceOptions) {
          const [option] = Object.keys(options)
          expect(() => new NamedLockService(dataSource, options), JSON.stringify(options))
            .to.throw(NamedLockConfigurationError)
            .with.property('message')
            .that.includes(option)
        }
      })
    })

    it('sends statements when the arguments are valid: the proof above can fail', async () => {
      const locks = await ctx.service()
      const silent = withoutSql(async () => {
        await (await locks.acquire('a', { timeout: 0 })).release()
      })
      expect((await rejection(silent)).message).to.include('statements on the server')
    })
  })
})

function show(value: unknown): string {
  return typeof value === 'string' && value.length > 50 ? `${value.length} characters` : inspect(value)
}
