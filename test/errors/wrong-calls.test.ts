import { expect } from 'chai'
import * as errors from '../../src/index.js'
import { NamedLock, NamedLockService, parseDuration, WithNamedLock } from '../../src/index.js'
import { forEachDialect, type Conformance } from '../support/conformance.js'
import { settlesWithin } from '../support/until.js'

/*
 * Wrong calls, each with the error it must end in: class, code, and a message that says what is wrong and what to do.
 * Everything is `any` here: these are the mistakes that types cannot or did not stop.
 */

type Wrong = [what: string, call: () => unknown, expected: readonly [string, string, RegExp]]

const codes = {
  NamedLockError: 'DATABASE',
  InvalidLockNameError: 'INVALID_NAME',
  NamedLockConfigurationError: 'CONFIGURATION',
  NamedLockReentrancyError: 'REENTRANCY',
  NamedLockInsideTransactionError: 'INSIDE_TRANSACTION',
  NamedLockClosedError: 'CLOSED',
  NamedLockLostError: 'LOST',
  NamedLockTimeoutError: 'TIMEOUT',
  UnsupportedDriverError: 'UNSUPPORTED_DRIVER',
} as const

const is = (name: keyof typeof codes, message: RegExp, code: string = codes[name]) => [name, code, message] as const
const wrongName = (message: RegExp) => is('InvalidLockNameError', message)
const wrongSetting = (message: RegExp) => is('NamedLockConfigurationError', message)

const names: [string, any, RegExp][] = [
  ['an empty name', '', /names must not be empty/],
  ['no name', undefined, /must be strings or bigints; got undefined/],
  ['null', null, /must be strings or bigints; got null/],
  ['a number', 42, /must be strings or bigints; got 42/],
  ['a boolean', true, /must be strings or bigints; got true/],
  ['an object', { id: 1 }, /must be strings or bigints; got an object \(Object\)/],
  ['a symbol', Symbol('x'), /must be strings or bigints; got Symbol\(x\)/],
  ['a String object', new String('x'), /must be strings or bigints; got an object \(String\)/],
  ['a promise', Promise.resolve('x'), /must be strings or bigints; got an object \(Promise\)/],
  ['a name that is too long', 'x'.repeat(1_025), /at most 1024 characters; .* has 1025/],
  ['half a character', 'a\ud83d', /must be well-formed Unicode/],
  ['no names', [], /list of lock names is empty/],
  ['an empty name among others', ['a', ''], /names must not be empty/],
  ['a number among names', ['a', 1], /must be strings or bigints; got 1/],
  ['a list in a list', [['a']], /must be strings or bigints; got an array/],
]

const callOptions: [string, any, RegExp][] = [
  ['a negative timeout', { timeout: -1 }, /timeout: -1 .*milliseconds \(0 or more\)/],
  ['a timeout of NaN', { timeout: NaN }, /timeout: NaN .*milliseconds/],
  ['a timeout of -Infinity', { timeout: -Infinity }, /timeout: -Infinity .*milliseconds/],
  ['a timeout of null', { timeout: null }, /timeout: null .*milliseconds/],
  ['an empty timeout', { timeout: '' }, /timeout: '' is not a duration: .*'10s'/],
  ['a timeout in words', { timeout: 'soon' }, /timeout: 'soon' is not a duration: .*'10s'/],
  ['a timeout in weeks', { timeout: '2w' }, /timeout: '2w' is not a duration: .*'1h' or '30d'/],
  ['a timeout with a sign', { timeout: '-5s' }, /timeout: '-5s' is not a duration/],
  ['a bigint timeout', { timeout: 5n }, /timeout: 5.* is not a duration/],
  ['a Date for a timeout', { timeout: new Date() }, /timeout: .* is not a duration/],
  [
    'a controller for a signal',
    { signal: new AbortController() },
    /signal must be .*; got an object \(AbortController\)\. .* its `signal` property/,
  ],
  ['null for a signal', { signal: null }, /signal must be an AbortSignal; got null/],
  ['half a signal', { signal: { aborted: false } }, /signal must be an AbortSignal; got an object/],
  ['reentrant in words', { reentrant: 'yes' }, /reentrant must be a boolean; got 'yes'/],
  ['exactName as a number', { exactName: 1 }, /exactName must be a boolean; got 1/],
  ['an unknown mode', { mode: 'shared' }, /mode must be one of 'read', 'write'.*; got 'shared'/],
  ['no permits', { permits: 0 }, /permits must be a whole number from 1 to 1000; got 0/],
  ['too many permits', { permits: 1_001 }, /permits must be a whole number from 1 to 1000; got 1001/],
  ['half a permit', { permits: 1.5 }, /permits must be a whole number .*; got 1.5/],
  ['permits as a text', { permits: '5' }, /permits must be a whole number .*; got '5'/],
  ['the former option shared', { shared: true }, /there is no option 'shared'. A reader passes mode: 'read'/],
  ['a release in words', { release: 'later' }, /release must be one of 'awaited', 'background'.*; got 'later'/],
  ['a misspelt option', { timeuot: 5 }, /no option 'timeuot'. The options are timeout, signal/],
  ['an option in another case', { Timeout: 5 }, /no option 'Timeout'. The options are timeout/],
  ['a number for options', 5_000, /must be an object such as \{ timeout: '5s' \}; got 5000/],
  ['text for options', '5s', /must be an object such as \{ timeout: '5s' \}; got '5s'/],
  ['a list for options', [], /must be an object such as \{ timeout: '5s' \}; got an array/],
  ['null for options', null, /must be an object such as \{ timeout: '5s' \}; got null/],
]

const serviceOptions: [string, any, RegExp][] = [
  ['a misspelt option', { lesae: '5s' }, /no option 'lesae'. The options are namespace, timeout, lease/],
  ['no table', { done: { table: 'a b' } }, /done.table must be the name of a table .*; got 'a b'/],
  ['a table alone', { done: 'done' }, /done: the options must be an object such as \{ table: 'locks' \}; got 'done'/],
  ['a release in words', { release: true }, /release must be one of 'awaited', 'background'.*; got true/],
  ['null', null, /must be an object.*; got null/],
  ['text', 'pool', /must be an object.*; got 'pool'/],
  ['a negative timeout', { timeout: -1 }, /timeout: -1 .*milliseconds/],
  ['a short lease', { lease: 999 }, /lease: 999 ms is out of range: it must be at least 1000 ms/],
  ['an endless lease', { lease: Infinity }, /lease: Infinity ms is out of range/],
  ['a lease in words', { lease: 'long' }, /lease: 'long' is not a duration/],
  ['a rare heartbeat', { lease: '10s', keepAlive: '6s' }, /keepAlive: 6000 ms .*at most half of the lease/],
  ['no heartbeat', { keepAlive: 0 }, /keepAlive: 0 ms .*more than 0/],
  ['a heartbeat of NaN', { keepAlive: NaN }, /keepAlive: NaN is not a duration/],
  ['allowNoLease in words', { allowNoLease: 'yes' }, /allowNoLease must be a boolean; got 'yes'/],
  ['no sessions', { maxSessions: 0 }, /maxSessions must be a whole number of at least 1; got 0/],
  ['half a session', { maxSessions: 1.5 }, /maxSessions must be a whole number .*; got 1.5/],
  ['endless sessions', { maxSessions: Infinity }, /maxSessions must be a whole number .*; got Infinity/],
  ['other connections', { connections: 'mine' }, /connections must be one of 'pool', 'own'.*; got 'mine'/],
  ['hand-over as a number', { handOver: 5 }, /handOver: .*must be an object/],
  ['a negative hand-over', { handOver: { times: -1 } }, /handOver.times must be a whole number of at least 0; got -1/],
  ['a misspelt hand-over', { handOver: { tiems: 1 } }, /handOver: there is no option 'tiems'. .*times, for/],
  ['a hand-over for NaN', { handOver: { for: NaN } }, /handOver.for: NaN is not a duration/],
  ['a closeTimeout in words', { closeTimeout: 'later' }, /closeTimeout: 'later' is not a duration/],
  ['ambient in words', { ambientTransactions: 'yes' }, /ambientTransactions must be a boolean; got 'yes'/],
  [
    'other statements',
    { outsideTransaction: 'ignore' },
    /outsideTransaction must be one of 'error', 'warn'.*; got 'ignore'/,
  ],
  [
    'other transactions',
    { insideTransaction: 'ignore' },
    /insideTransaction must be one of 'error', 'warn'.*; got 'ignore'/,
  ],
  ['an empty namespace', { namespace: '' }, /namespace must be a non-empty string .*or false for none; got ''/],
  ['a namespace of true', { namespace: true }, /namespace must be .*; got true/],
  ['a long namespace', { namespace: 'x'.repeat(1_025) }, /namespace must be .*1024 characters/],
  ['fencing as text', { fencing: 'tokens' }, /fencing: .*must be an object/],
  ['fencing without a table', { fencing: {} }, /fencing.table must be .*; got undefined/],
  ['fencing with SQL', { fencing: { table: 'a`; DROP TABLE b' } }, /fencing.table must be the name of a table/],
  ['fencing in three parts', { fencing: { table: 'a.b.c' } }, /fencing.table must be .*; got 'a.b.c'/],
]

const drivers: [string, RegExp][] = [
  ['sqlite', /'sqlite' cannot be used .*SQLite is a file.* Supported are/],
  ['better-sqlite3', /'better-sqlite3' cannot be used .*Supported are/],
  ['sqljs', /'sqljs' cannot be used .*one process.*Supported are/],
  ['cockroachdb', /'cockroachdb' cannot be used .*lock nothing.*Supported are/],
  ['aurora-mysql', /'aurora-mysql' cannot be used .*Use the mysql driver/],
  ['mssql', /'mssql' cannot be used .*Supported are/],
  ['oracle', /'oracle' cannot be used .*Supported are/],
  ['mongodb', /'mongodb' cannot be used .*Supported are/],
]

describe('wrong calls', () => {
  forEachDialect((ctx) => {
    it('end in an error of the right class and code that says what to do; the service goes on', async function () {
      this.timeout(60_000)
      const locks: any = await ctx.service()
      const held = await locks.acquire('held')
      const all: Wrong[] = [
        ...wrongNames(locks),
        ...wrongOptions(locks, ctx),
        ...wrongWork(locks),
        ...wrongServices(ctx),
        ...wrongDecorators(locks),
        ...(await wrongTimes(ctx, locks)),
      ]
      expect(all.length, 'wrong calls').to.be.at.least(200)
      for (const [what, call, [name, code, message]] of all) {
        const error = await settlesWithin(3_000, what, reason(call))
        expect(error, what).to.be.instanceOf((errors as any)[name])
        expect(error.name, what).to.equal(name)
        expect(error.code, what).to.equal(code)
        expect(error.message, what).to.match(message)
        expect(error.message, what).to.have.length.within(20, 800)
      }
      expect(await held.verify(), 'the lock that was held all along').to.equal(true)
      await held.release()
      expect(await locks.withLock(['held', 'a', 'b'], () => 'done')).to.equal('done')
    })

    it('are not these: odd work, odd results and odd errors go through as they are', async () => {
      const locks: any = await ctx.service()
      const thenable = { then: (resolve: (value: string) => void) => setImmediate(() => resolve('of a thenable')) }
      expect(await locks.withLock('a', () => thenable)).to.equal('of a thenable')
      expect(await locks.withLock('a', () => undefined)).to.equal(undefined)
      for (const odd of [
        'text',
        42,
        null,
        undefined,
        Symbol.for('odd'),
        { code: 'LOST' },
        new Error('mine'),
      ] as any[]) {
        const throwing = (how: () => unknown) =>
          locks.withLock('a', how).then(
            () => 'resolved',
            (error: unknown) => error,
          )
        const thrown = () => {
          throw odd
        }
        expect(await throwing(thrown), String(odd)).to.equal(odd)
        expect(await throwing(() => Promise.reject(odd)), String(odd)).to.equal(odd)
        const failing = { then: (_: unknown, reject: (error: unknown) => void) => reject(odd) }
        expect(await throwing(() => failing), String(odd)).to.equal(odd)
        const controller = new AbortController()
        controller.abort(odd)
        if (odd === undefined) continue // the platform makes an error of its own
        const aborted = locks.acquire('a', { signal: controller.signal })
        expect(
          await aborted.then(
            () => 'resolved',
            (error: unknown) => error,
          ),
          String(odd),
        ).to.equal(odd)
      }
      expect(await locks.tryWithLock('a', () => 'free')).to.deep.equal({ acquired: true, value: 'free' })
    })
  })
})

const callsWith = (locks: any, options: unknown): Record<string, () => unknown> => ({
  withLock: () => locks.withLock('a', options, noWork),
  tryWithLock: () => locks.tryWithLock('a', options, noWork),
  acquire: () => locks.acquire('a', options),
  tryAcquire: () => locks.tryAcquire('a', options),
})

const noWork = () => expect.fail('the work ran')

function wrongNames(locks: any): Wrong[] {
  return names.flatMap(([what, name, message]): Wrong[] => [
    [`${what}, withLock`, () => locks.withLock(name, noWork), wrongName(message)],
    [`${what}, tryAcquire`, () => locks.tryAcquire(name), wrongName(message)],
    [`${what}, transaction`, () => locks.transaction(name, noWork), wrongName(message)],
    ...(Array.isArray(name)
      ? []
      : ([[`${what}, isLocked`, () => locks.isLocked(name), wrongName(message)]] satisfies Wrong[])),
  ])
}

function wrongOptions(locks: any, ctx: Conformance): Wrong[] {
  return [
    ...callOptions.flatMap(([what, options, message]): Wrong[] => [
      // Each call names itself.
      ...Object.entries(callsWith(locks, options)).map(([call, start]): Wrong => [
        `${what}, ${call}`,
        start,
        wrongSetting(new RegExp(`^${call}: .*${message.source}`)),
      ]),
    ]),
    ...(['isLocked', 'holder', 'list'] as const).map((call): Wrong => [
      `an unknown option of ${call}`,
      () => (call === 'list' ? locks.list({ x: 1 }) : locks[call]('a', { x: 1 })),
      wrongSetting(new RegExp(`^${call}: there is no option 'x'`)),
    ]),
    ...Object.entries({
      acquire: (names: unknown, options: object) => locks.acquire(names, options),
      tryAcquire: (names: unknown, options: object) => locks.tryAcquire(names, options),
      withLock: (names: unknown, options: object) => locks.withLock(names, options, noWork),
      tryWithLock: (names: unknown, options: object) => locks.tryWithLock(names, options, noWork),
      transaction: (names: unknown, options: object) => locks.transaction(names, options, noWork),
    }).flatMap(([call, start]): Wrong[] => [
      [`permits of two names, ${call}`, () => start(['a', 'b'], { permits: 2 }), wrongSetting(/permits .* one name/)],
      [`permits of a list of one, ${call}`, () => start(['a'], { permits: 2 }), wrongSetting(/permits .* one name/)],
      [
        `permits with a mode, ${call}`,
        () => start('a', { permits: 2, mode: 'write' }),
        wrongSetting(new RegExp(`^${call}: permits cannot be combined with mode`)),
      ],
      [
        `permits with exactName, ${call}`,
        () => start(ctx.isPostgres ? 42n : 'a', { permits: 2, exactName: true }),
        wrongSetting(new RegExp(`^${call}: permits cannot be combined with exactName`)),
      ],
    ]),
    ...(['isLocked', 'holder'] as const).flatMap((call): Wrong[] => [
      [`no permits, ${call}`, () => locks[call]('a', { permits: 0 }), wrongSetting(/permits .*from 1 to 1000; got 0/)],
      [
        `permits with exactName, ${call}`,
        () => locks[call]('42', { permits: 2, exactName: true }),
        wrongSetting(new RegExp(`^${call}: permits cannot be combined with exactName`)),
      ],
    ]),
    [
      'permits in lockTransaction',
      () => locks.lockTransaction(locks.dataSource.manager, 'a', { permits: 2 }),
      wrongSetting(/^lockTransaction: there is no option 'permits'/),
    ],
    [
      'a leader without work',
      () => locks.lead('a', {} as any, 5 as any),
      wrongSetting(/^lead: the work must be a function/),
    ],
    ['a leader without a name', () => locks.lead('', () => {}), is('InvalidLockNameError', /empty/)],
    [
      'an odd option of lead',
      () => locks.lead('a', { restrat: 1 } as any, () => {}),
      wrongSetting(/^lead: there is no option 'restrat'/),
    ],
    [
      'a restart in words',
      () => locks.lead('a', { restart: 'soon' as any }, () => {}),
      wrongSetting(/^lead: restart: 'soon' is not a duration/),
    ],
    [
      'an endless restart',
      () => locks.lead('a', { restart: Infinity }, () => {}),
      wrongSetting(/^lead: restart: after Infinity/),
    ],
    ['a ping in words', () => locks.ping('soon' as any), wrongSetting(/^ping: timeout: 'soon' is not a duration/)],
    [
      'work without a function',
      () => locks.runOnce('a', {}, 5 as any),
      wrongSetting(/^runOnce: the work must be a function/),
    ],
    [
      'an odd option of runOnce',
      () => locks.runOnce('a', { evry: 1 } as any, () => {}),
      wrongSetting(/^runOnce: there is no option 'evry'/),
    ],
    [
      'permits of runOnce',
      () => locks.runOnce('a', { permits: 2 } as any, () => {}),
      wrongSetting(/^runOnce: there is no option 'permits'/),
    ],
    [
      'runOnce of no time',
      () => locks.runOnce('a', { every: 0 }, () => {}),
      wrongSetting(/^runOnce: every: 0 is too short/),
    ],
    [
      'runOnce of a word',
      () => locks.runOnce('a', { every: 'day' as any }, () => {}),
      wrongSetting(/^runOnce: every: 'day' is not a duration/),
    ],
    [
      'runOnce of a list',
      () => locks.runOnce(['a'] as any, () => {}),
      wrongSetting(/^runOnce: .*is a list. It takes one name/),
    ],
    ['runOnce without a name', () => locks.runOnce('', () => {}), is('InvalidLockNameError', /empty/)],
    ['forget of a list', () => locks.forget(['a'] as any), wrongSetting(/^forget: .* It takes one name/)],
    [
      'an odd option of forget',
      () => locks.forget('a', { exact: true } as any),
      wrongSetting(/^forget: there is no option 'exact'/),
    ],
    ['a purge of everything', () => locks.forgetDone({} as any), wrongSetting(/^forgetDone: olderThan is missing/)],
    ['a purge of nothing given', () => locks.forgetDone(), wrongSetting(/^forgetDone: the options must be an object/)],
    ['a purge of forever', () => locks.forgetDone({ olderThan: Infinity }), wrongSetting(/olderThan: Infinity/)],
    [
      'another session',
      () => locks.acquire('a', { session: 'own' }),
      wrongSetting(/session must be one of 'shared', 'dedicated'.*; got 'own'/),
    ],
    // PostgreSQL has reader locks of its own.
    ...(ctx.isPostgres
      ? []
      : ([
          [
            'a mode with an exact name',
            () => locks.acquire('a', { mode: 'read', exactName: true }),
            wrongSetting(/mode: .* exactName cannot name those/),
          ],
          [
            'a name without a mode that is used with one',
            () => locks.withLock('moded', { mode: 'write' }, () => locks.acquire('moded')),
            wrongSetting(/the name 'moded' is requested without a mode, and was requested with one before/),
          ],
          [
            'a name with a mode that is used without one',
            () => locks.withLock('plain', () => locks.acquire('plain', { mode: 'read' })),
            wrongSetting(/the name 'plain' is requested with a mode, and was requested without one before/),
          ],
          [
            'the same among several names',
            () => locks.withLock('plain', () => locks.acquire(['moded', 'plain'], { mode: 'write' })),
            wrongSetting(/the name 'plain' is requested with a mode/),
          ],
        ] satisfies Wrong[])),
    [
      'isolation without a transaction',
      () => locks.acquire('a', { isolation: 'SERIALIZABLE' }),
      wrongSetting(/no option 'isolation'/),
    ],
    [
      'a session of a transaction',
      () => locks.transaction('a', { session: 'dedicated' }, noWork),
      wrongSetting(/no option 'session'/),
    ],
    [
      'another isolation',
      () => locks.transaction('a', { isolation: 'SNAPSHOT' }, noWork),
      wrongSetting(/isolation must be one of .*'SERIALIZABLE'; got 'SNAPSHOT'/),
    ],
    ...['', null, 0].map((isolation): Wrong => [
      `${isolation} for isolation`,
      () => locks.transaction('a', { isolation }, noWork),
      wrongSetting(/isolation must be one of .*'SERIALIZABLE'; got/),
    ]),
    [
      'an option of isLocked',
      () => locks.isLocked('a', { timeout: 5 }),
      wrongSetting(/no option 'timeout'.*exactName/),
    ],
    ['options of holder', () => locks.holder('a', 'exact'), wrongSetting(/must be an object.*; got 'exact'/)],
    [
      'a bigint as an exact name',
      // On PostgreSQL it is one, up to 64 bits.
      () => locks.acquire(ctx.isPostgres ? 1n << 63n : 42n, { exactName: true }),
      wrongName(/\dn can ?not be an exact name on/),
    ],
    [
      'a long exact name',
      () => locks.acquire('é'.repeat(200), { exactName: true }),
      wrongName(/can ?not be an exact name on/),
    ],
    [
      'a NUL in an exact name',
      () => locks.acquire('a\0b', { exactName: true }),
      wrongName(ctx.isPostgres ? /Pass a bigint/ : /NUL/),
    ],
    ['an unreal duration', () => parseDuration('ten'), wrongSetting(/'ten' is not a duration: .*'10s'/)],
    ['a number to parse', () => parseDuration(5 as any), wrongSetting(/5 is not a duration/)],
  ]
}

function wrongWork(locks: any): Wrong[] {
  const noFunctions: any[] = [undefined, null, 'work', 42, {}, [], Promise.resolve()]
  return noFunctions.flatMap((work): Wrong[] => {
    const message = (call: string) =>
      new RegExp(`${call}: the work must be a function; got .*${call}\\(name, options, work\\)`)
    return (['withLock', 'tryWithLock', 'transaction'] as const).map((call) => [
      `${call} with ${String(work)} for work`,
      () => locks[call]('a', { timeout: 5 }, work),
      wrongSetting(message(call)),
    ])
  })
}

function wrongServices(ctx: Conformance): Wrong[] {
  const uninitialised = ctx.adopt(new NamedLockService(ctx.rawDataSource())) as any
  const notInitialised = wrongSetting(/DataSource is not initialised: call dataSource.initialize\(\) first/)
  const one = (type: string): any => ({
    options: { type },
    isInitialized: true,
    manager: {},
    createQueryRunner: noWork,
  })
  return [
    ...serviceOptions.map(([what, options, message]): Wrong => [
      `a service with ${what}`,
      () => new NamedLockService(ctx.rawDataSource(), options),
      wrongSetting(message),
    ]),
    ...drivers.map(([type, message]): Wrong => [
      `the driver ${type}`,
      () => new NamedLockService(one(type)),
      is('UnsupportedDriverError', message),
    ]),
    ...[undefined, null, {}, 'mysql', { options: { type: 'mysql' } }].map((dataSource: any): Wrong => [
      `${String(dataSource)} for a DataSource`,
      () => new NamedLockService(dataSource),
      wrongSetting(/needs a TypeORM DataSource: new NamedLockService\(dataSource, options\?\)/),
    ]),
    [
      'for() without a DataSource',
      () => NamedLockService.for(undefined as any),
      wrongSetting(/needs a TypeORM DataSource/),
    ],
    [
      'setDefault of another thing',
      () => NamedLockService.setDefault({} as any),
      wrongSetting(/is not a NamedLockService/),
    ],
    [
      'a pool of one',
      () => ctx.adopt(new NamedLockService(ctx.rawDataSource({ poolSize: 1 }))).acquire('a'),
      wrongSetting(/pool has 1 connection.*poolSize/),
    ],
    ['acquire before initialize', () => uninitialised.acquire('a'), notInitialised],
    ['tryWithLock before initialize', () => uninitialised.tryWithLock('a', noWork), notInitialised],
    ['transaction before initialize', () => uninitialised.transaction('a', noWork), notInitialised],
    ['isLocked before initialize', () => uninitialised.isLocked('a'), notInitialised],
  ]
}

function wrongDecorators(locks: any): Wrong[] {
  const decorate: any = (...args: unknown[]) => (WithNamedLock as any)(...args)
  const onMethod = wrongSetting(/for methods that return a promise: .* is /)
  class Wanting {}
  const call = (options: any, method: unknown = async () => 'done', self: object = new Wanting()) => {
    const descriptor: any = { value: method }
    decorate('a', 0, options)(Wanting.prototype, 'run', descriptor)
    return descriptor.value.call(self)
  }
  return [
    [
      'permits of a list',
      () => decorate(['a'], 0, { permits: 2 }),
      wrongSetting(/^@WithNamedLock: permits is an option for one name/),
    ],
    [
      'no permits',
      () => decorate('a', 0, { permits: 0 }),
      wrongSetting(/^@WithNamedLock: permits .*from 1 to 1000; got 0/),
    ],
    [
      'permits with a mode',
      () => decorate('a', 0, { permits: 2, mode: 'read' }),
      wrongSetting(/^@WithNamedLock: permits cannot be combined with mode/),
    ],
    ['a getter', () => decorate('a')(Wanting.prototype, 'x', { get: noWork }), onMethod],
    ['a setter', () => decorate('a')(Wanting.prototype, 'x', { set: noWork }), onMethod],
    ['a static getter', () => decorate('a')(Wanting, 'x', { get: noWork }), onMethod],
    ['a field', () => decorate('a')(Wanting.prototype, 'x', undefined), onMethod],
    ['a constructor parameter', () => decorate('a')(Wanting, undefined, 0), onMethod],
    ['a parameter', () => decorate('a')(Wanting.prototype, 'x', 0), onMethod],
    ['a class', () => decorate('a')(Wanting), onMethod],
    ['a standard getter', () => decorate('a')(noWork, { kind: 'getter', name: 'x' }), onMethod],
    ['a standard field', () => decorate('a')(undefined, { kind: 'field', name: '#x' }), onMethod],
    ['a standard accessor', () => decorate('a')({}, { kind: 'accessor', name: 'x' }), onMethod],
    ['a standard class', () => decorate('a')(Wanting, { kind: 'class', name: 'Wanting' }), onMethod],
    ['a generator', () => decorate('a')(Wanting.prototype, 'x', { value: function* () {} }), onMethod],
    ['an async generator', () => decorate('a')(Wanting.prototype, 'x', { value: async function* () {} }), onMethod],
    ['no name', () => decorate(), wrongName(/got undefined/)],
    ['a number for a name', () => decorate(7), wrongName(/got 7/)],
    [
      'once without a transaction',
      () => decorate('a', 0, { once: true, transaction: false }),
      wrongSetting(/^@WithNamedLock: once: .* transaction: false/),
    ],
    [
      'once of a word',
      () => decorate('a', 0, { once: 'daily' }),
      wrongSetting(/^@WithNamedLock: once: the options must be an object/),
    ],
    [
      'once of no time',
      () => decorate('a', 0, { once: { every: 0 } }),
      wrongSetting(/^@WithNamedLock: once: every: 0/),
    ],
    [
      'once of two names',
      () => decorate(['a', 'b'], 0, { once: true }),
      wrongSetting(/^@WithNamedLock: once: .* one name/),
    ],
    ['once with permits', () => decorate('a', 0, { once: true, permits: 2 }), wrongSetting(/^@WithNamedLock: once: /)],
    ['a wrong timeout', () => decorate('a', 'soon'), wrongSetting(/timeout: 'soon' is not a duration/)],
    ['an unknown option', () => decorate('a', 1, { onbusy: 'skip' }), wrongSetting(/no option 'onbusy'.*onBusy/)],
    ['an unknown onBusy', () => decorate('a', 1, { onBusy: 'wait' }), wrongSetting(/onBusy: 'wait' is neither/)],
    ['no service to be found', () => call({}), wrongSetting(/Wanting.run: .* found no NamedLockService. .*setDefault/)],
    [
      'a locks function without a service',
      () => call({ locks: () => ({}) }),
      wrongSetting(/returned .* instead of a NamedLockService/),
    ],
    [
      'a method without a promise',
      () => call({ locks }, () => 'now'),
      wrongSetting(/returned 'now' instead of a promise/),
    ],
    ['a name function without a name', () => nameless(decorate, locks), wrongName(/got undefined/)],
  ]
}

function nameless(decorate: any, locks: any): unknown {
  const descriptor: any = { value: async () => 'done' }
  decorate(() => undefined, 0, { locks })({}, 'run', descriptor)
  return descriptor.value.call({})
}

/** Right calls at the wrong time. */
async function wrongTimes(ctx: Conformance, locks: any): Promise<Wrong[]> {
  const closed: any = await ctx.service()
  await closed.close()
  const isClosed = is('NamedLockClosedError', /service is closed and acquires no more locks/)
  const released = await locks.acquire('released')
  await released.release()
  const reentrancy = is('NamedLockReentrancyError', /'in' is already held by the running scope.*reentrant: true/)
  return [
    ['acquire after close', () => closed.acquire('a'), isClosed],
    ['tryAcquire after close', () => closed.tryAcquire('a'), isClosed],
    ['withLock after close', () => closed.withLock('a', noWork), isClosed],
    ['tryWithLock after close', () => closed.tryWithLock('a', noWork), isClosed],
    ['transaction after close', () => closed.transaction('a', noWork), isClosed],
    ['isLocked after close', () => closed.isLocked('a'), isClosed],
    ['holder after close', () => closed.holder('a'), isClosed],
    [
      'a token after the release',
      () => released.fencingToken(),
      is('NamedLockLostError', /'released' is no longer held: it was released/),
    ],
    ['the same lock again', () => locks.withLock('in', () => locks.withLock('in', noWork)), reentrancy],
    ['the same lock among others', () => locks.withLock('in', () => locks.acquire(['x', 'in'])), reentrancy],
    [
      'what is not held',
      () => NamedLock.assertHeld('nothing'),
      is('NamedLockError', /'nothing' is not held here\. Call this inside withLock\('nothing', …\)/, 'NOT_HELD'),
    ],
    [
      'a busy lock',
      () => locks.acquire('held', { timeout: 1 }),
      is(
        'NamedLockTimeoutError',
        /^Timed out after 1 ms waiting for lock 'held'\. Held by \S+ \(connection \d+, .*\) for \d/,
      ),
    ],
  ]
}

async function reason(call: () => unknown): Promise<any> {
  try {
    await call()
  } catch (error) {
    return error
  }
  return undefined
}
