import { expect } from 'chai'
import { describe, it } from 'mocha'
import { InvalidLockNameError, NamedLockConfigurationError, NamedLockService, WithNamedLock } from '../../src/index.js'
import { classWith, FakeLockService } from './fake-lock-service.js'

describe('@WithNamedLock when the class is defined', () => {
  type ErrorClass = new (...args: any[]) => Error
  const wrong: readonly [what: string, args: unknown[], type: ErrorClass, message: RegExp][] = [
    ['an unknown option', ['x', 0, { onBusi: 'skip' }], NamedLockConfigurationError, /no option 'onBusi'.*onBusy/],
    ['options that are none', ['x', 0, 'skip'], NamedLockConfigurationError, /'skip'/],
    ['null for options', ['x', 0, null], NamedLockConfigurationError, /null/],
    ['a list of options', ['x', 0, []], NamedLockConfigurationError, /an array/],
    ['options in place of the timeout', ['x', { onBusy: 'skip' }], NamedLockConfigurationError, /timeout/],
    ['an unknown unit', ['x', '5 parsecs'], NamedLockConfigurationError, /timeout: .*'5 parsecs'/],
    ['a negative timeout', ['x', -1], NamedLockConfigurationError, /timeout: -1/],
    ['NaN', ['x', NaN], NamedLockConfigurationError, /timeout: NaN/],
    ['null for a timeout', ['x', null], NamedLockConfigurationError, /timeout: null/],
    ['a negative holdAtLeast', ['x', 0, { holdAtLeast: -1 }], NamedLockConfigurationError, /holdAtLeast: -1/],
    [
      'an endless holdAtLeast',
      ['x', 0, { holdAtLeast: Infinity }],
      NamedLockConfigurationError,
      /holdAtLeast: Infinity/,
    ],
    ['an unknown onBusy', ['x', 0, { onBusy: 'ignore' }], NamedLockConfigurationError, /onBusy: 'ignore'/],
    [
      'a reentrant of another type',
      ['x', 0, { reentrant: 'yes' }],
      NamedLockConfigurationError,
      /reentrant must be a boolean; got 'yes'/,
    ],
    [
      'a transaction of another type',
      ['x', 0, { transaction: 1 }],
      NamedLockConfigurationError,
      /transaction must be a boolean; got 1/,
    ],
    [
      'a signal of another type',
      ['x', 0, { signal: new AbortController() }],
      NamedLockConfigurationError,
      /signal must be an AbortSignal; .*AbortController/,
    ],
    ['locks of another type', ['x', 0, { locks: {} }], NamedLockConfigurationError, /locks: an object/],
    ['a class as locks', ['x', 0, { locks: NamedLockService }], NamedLockConfigurationError, /locks: the class itself/],
    [
      'a subclass as locks',
      ['x', 0, { locks: FakeLockService }],
      NamedLockConfigurationError,
      /locks: the class itself/,
    ],
    ['no name', [], InvalidLockNameError, /got undefined/],
    ['an empty name', [''], InvalidLockNameError, /empty/],
    ['a number for a name', [42], InvalidLockNameError, /42/],
    ['a promise for a name', [Promise.resolve('x')], InvalidLockNameError, /Promise/],
    ['a long name', ['x'.repeat(1025)], InvalidLockNameError, /1024/],
    ['half a character', ['\ud83d'], InvalidLockNameError, /well-formed/],
    ['no names', [[]], InvalidLockNameError, /at least one/],
    ['an empty name among others', [['x', '']], InvalidLockNameError, /empty/],
  ]
  for (const [what, args, type, message] of wrong) {
    it(`refuses ${what}`, () => {
      expect(() => classWith(...(args as [unknown]))).to.throw(type, message)
    })
  }

  it('takes undefined for every option', () => {
    const options = ['locks', 'onBusy', 'reentrant', 'transaction', 'holdAtLeast', 'signal'].map((key) => [
      key,
      undefined,
    ])
    classWith('x', undefined, Object.fromEntries(options))
  })

  const lock = WithNamedLock('x') as any
  const refused: readonly [what: string, define: () => unknown, message: RegExp][] = [
    [
      'a getter',
      () => {
        class Orders {
          @lock get total() {
            return 1
          }
        }
        return Orders
      },
      /Orders\.total is a getter/,
    ],
    [
      'a setter',
      () => {
        class Orders {
          @lock set total(_value: number) {}
        }
        return Orders
      },
      /Orders\.total is a setter/,
    ],
    [
      'a static getter',
      () => {
        class Orders {
          @lock static get total() {
            return 1
          }
        }
        return Orders
      },
      /Orders\.total is a getter/,
    ],
    [
      'a field',
      () => {
        class Orders {
          @lock total = async () => 1
        }
        return Orders
      },
      /Orders\.total is a field/,
    ],
    [
      'a class',
      () => {
        @lock
        class Orders {}
        return Orders
      },
      /Orders is a class/,
    ],
    [
      'a constructor parameter',
      () => {
        class Orders {
          constructor(@lock readonly total: number) {}
        }
        return Orders
      },
      /Orders is a constructor parameter/,
    ],
    [
      'a parameter',
      () => {
        class Orders {
          async total(@lock _of: number) {}
        }
        return Orders
      },
      /Orders\.total is a parameter/,
    ],
    [
      'a generator',
      () => {
        class Orders {
          @lock *total() {}
        }
        return Orders
      },
      /Orders\.total is a generator/,
    ],
    [
      'an async generator',
      () => {
        class Orders {
          @lock async *total() {}
        }
        return Orders
      },
      /Orders\.total is an async generator/,
    ],
  ]
  for (const [what, define, message] of refused) {
    it(`refuses ${what}`, () => expect(define).to.throw(NamedLockConfigurationError, message))
  }
})
