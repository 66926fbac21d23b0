import { milliseconds } from '../contract/duration.js'
import { flag, known } from '../contract/option-checks.js'
import { InvalidLockNameError, NamedLockConfigurationError } from '../contract/errors.js'
import { checkName } from '../names/lock-name.js'
import { NamedLockService } from '../service/named-lock-service.js'
import type { LockMode, LockName, LockNames, ReleaseKind } from '../contract/options.js'
import { defaultCall, readCallOptions, readDecoratorRetry, type Retry } from '../contract/settings.js'
import { readEvery } from '../once/once-options.js'
import { show } from '../util/show.js'
import type { WithNamedLockOptions } from './decorator-options.js'

type OfCall<T> = (this: unknown, ...args: unknown[]) => T

/** The arguments of a decorator, checked and with their defaults filled in. Times in milliseconds. */
export interface DecoratorSettings {
  readonly name: LockNames | OfCall<LockNames>
  readonly locks: NamedLockService<any> | ((self: unknown) => unknown) | undefined
  readonly onBusy: 'throw' | 'skip' | OfCall<unknown>
  readonly transaction: boolean
  /** `runOnce` with that `every`; undefined: no. */
  readonly once: number | undefined
  readonly holdAtLeast: number
  /** The options that every call passes to the service. */
  readonly callOptions: {
    readonly timeout: number | undefined
    readonly reentrant: boolean
    readonly mode?: LockMode
    readonly permits?: number
    readonly retry?: Retry
    readonly release?: ReleaseKind
    readonly signal: AbortSignal | undefined
  }
  readonly signal: OfCall<AbortSignal | undefined> | undefined
}

type Given = Partial<Record<keyof WithNamedLockOptions, unknown>>

const OPTIONS: readonly (keyof WithNamedLockOptions)[] = [
  'locks',
  'onBusy',
  'reentrant',
  'mode',
  'permits',
  'transaction',
  'retry',
  'once',
  'holdAtLeast',
  'release',
  'signal',
]

/** Checks the arguments when the class is defined, so that no mistake stays hidden until the first call. */
export function readDecoratorOptions(name: unknown, timeout: unknown, given: unknown = {}): DecoratorSettings {
  const options: Given = known(given as object, OPTIONS, '@WithNamedLock', "{ onBusy: 'skip' }")
  const onBusy = readOnBusy(options.onBusy)
  const once = readOnce(options.once)
  if (once !== undefined && options.transaction === false) {
    throw wrong('once: what is done once is written in a transaction: leave transaction: false out.')
  }
  const transaction = once !== undefined || flag(options.transaction, '@WithNamedLock: transaction')
  const retry = readRetry(options.retry, transaction)
  const signal = typeof options.signal === 'function' ? undefined : options.signal
  const call = readCallOptions(
    {
      timeout,
      reentrant: options.reentrant,
      mode: options.mode,
      permits: options.permits,
      signal,
      release: options.release,
    },
    defaultCall(0, 'awaited'),
    '@WithNamedLock',
  )
  if (transaction && options.release !== undefined) {
    throw wrong('release: a lock with transaction: true ends with its transaction, and its call waits for that.')
  }
  if (call.permits && Array.isArray(name)) throw wrong('permits is an option for one name, not for a list of names.')
  if (once !== undefined && (call.mode || call.permits || Array.isArray(name))) {
    throw wrong('once: what is done once has one name, and no mode or permits.')
  }
  return {
    name: readName(name),
    locks: readLocks(options.locks),
    onBusy,
    transaction,
    once,
    holdAtLeast: readHoldAtLeast(options.holdAtLeast),
    callOptions: {
      // With 'skip' or a function a busy lock has another answer, so the call waits only if it passes a timeout.
      timeout: timeout === undefined && onBusy === 'throw' ? undefined : call.timeout,
      reentrant: call.reentrant,
      ...(call.mode && { mode: call.mode }),
      ...(call.permits && { permits: call.permits }),
      ...(retry && { retry }),
      ...(options.release !== undefined && { release: call.release }),
      signal: call.signal,
    },
    signal: typeof options.signal === 'function' ? (options.signal as OfCall<AbortSignal | undefined>) : undefined,
  }
}

function readName(name: unknown): DecoratorSettings['name'] {
  if (typeof name === 'function') return name as OfCall<LockNames>
  if (!Array.isArray(name)) {
    checkName(name)
    return name as LockNames
  }
  if (name.length === 0)
    throw new InvalidLockNameError('@WithNamedLock: the list of lock names is empty. Pass at least one name.')
  for (const one of name) checkName(one)
  return [...(name as LockName[])]
}

function readLocks(locks: unknown): DecoratorSettings['locks'] {
  if (locks === undefined || locks instanceof NamedLockService) return locks
  const isClass =
    locks === NamedLockService || (locks as { prototype?: unknown })?.prototype instanceof NamedLockService
  if (typeof locks === 'function' && !isClass) return locks as (self: unknown) => unknown
  throw wrong(
    `locks: ${isClass ? 'the class itself' : show(locks)} is neither a NamedLockService nor a function of the instance that returns one.`,
  )
}

function readOnBusy(onBusy: unknown): DecoratorSettings['onBusy'] {
  if (onBusy === undefined) return 'throw'
  if (onBusy === 'throw' || onBusy === 'skip') return onBusy
  if (typeof onBusy === 'function') return onBusy as OfCall<unknown>
  throw wrong(`onBusy: ${show(onBusy)} is neither 'throw' nor 'skip' nor a function.`)
}

function readRetry(value: unknown, transaction: boolean): Retry | undefined {
  if (value === undefined || transaction) return readDecoratorRetry(value)
  throw wrong('retry repeats a transaction that the server has rolled back: it needs transaction: true.')
}

function readOnce(value: unknown): number | undefined {
  if (value === undefined || value === false) return undefined
  if (value === true) return Infinity
  const { every } = known(value as { every?: unknown }, ['every'], '@WithNamedLock: once', "{ every: '20h' }")
  return readEvery(every, '@WithNamedLock: once')
}

function readHoldAtLeast(value: unknown): number {
  const time = value === undefined ? 0 : milliseconds(value as number, '@WithNamedLock: holdAtLeast')
  if (time === Infinity) throw wrong('holdAtLeast: Infinity would never release the lock.')
  return time
}

function wrong(message: string): NamedLockConfigurationError {
  return new NamedLockConfigurationError(`@WithNamedLock: ${message}`)
}
