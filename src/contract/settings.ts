import { show } from '../util/show.js'
import { NamedLockConfigurationError } from './errors.js'
import { count, duration, flag, known, oneOf } from './option-checks.js'
import type {
  AcquireOptions,
  CheckOptions,
  InspectOptions,
  ListOptions,
  LockMode,
  NamedLockServiceOptions,
  ReleaseKind,
  RetryOptions,
  SessionKind,
  TransactionOptions,
} from './options.js'

/** The options of a service, checked and with their defaults filled in. Times in milliseconds. */
export interface Settings {
  readonly namespace: string | false | undefined
  readonly timeout: number
  readonly lease: number
  readonly keepAlive: number
  readonly allowNoLease: boolean
  readonly maxSessions: number
  /** Undefined: the dialect's limit. */
  readonly maxLocks: number | undefined
  readonly connections: 'pool' | 'own'
  readonly pooling: 'session' | 'transaction'
  readonly handOver: { readonly times: number; readonly for: number }
  readonly release: ReleaseKind
  readonly closeTimeout: number
  readonly insideTransaction: 'error' | 'warn' | 'allow'
  readonly ambientTransactions: boolean
  readonly outsideTransaction: 'error' | 'warn' | 'allow'
  readonly fencing: { readonly table: string } | undefined
  readonly done: { readonly table: string }
}

/** The options of one call, checked and with their defaults filled in. */
export interface CallSettings {
  readonly timeout: number
  readonly signal: AbortSignal | undefined
  readonly reentrant: boolean
  readonly exactName: boolean
  readonly session: SessionKind
  readonly mode: LockMode | undefined
  /** Undefined: an ordinary lock. */
  readonly permits: number | undefined
  readonly release: ReleaseKind
  /** The wait may last for days: it costs no connection and few statements, and does without the first milliseconds of a free lock. */
  readonly isPatient: boolean
  readonly isolation: TransactionOptions['isolation']
  /** Undefined: no repetition. */
  readonly retry: Retry | undefined
}

export type Retry = Readonly<Record<keyof RetryOptions, number>>

const SERVICE_OPTIONS: readonly (keyof NamedLockServiceOptions)[] = [
  'namespace',
  'timeout',
  'lease',
  'keepAlive',
  'allowNoLease',
  'maxSessions',
  'maxLocks',
  'connections',
  'pooling',
  'handOver',
  'release',
  'closeTimeout',
  'insideTransaction',
  'ambientTransactions',
  'outsideTransaction',
  'fencing',
  'done',
]
const ACQUIRE_OPTIONS: readonly (keyof AcquireOptions)[] = [
  'timeout',
  'signal',
  'reentrant',
  'exactName',
  'session',
  'mode',
  'permits',
  'release',
]
const TRANSACTION_OPTIONS: readonly string[] = [
  'timeout',
  'signal',
  'reentrant',
  'exactName',
  'mode',
  'permits',
  'isolation',
  'retry',
]
const LOCK_TRANSACTION_OPTIONS: readonly string[] = ['timeout', 'signal', 'reentrant', 'exactName', 'mode']
const RELEASES = ['awaited', 'background'] as const
const ISOLATION_LEVELS = ['READ UNCOMMITTED', 'READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const

/** The most permits of one name: names/part-keys.ts has their keys. */
const MOST_PERMITS = 1_000
const MOST_REPETITIONS = 1_000
const DEFAULT_TIMEOUT = 10_000
const DEFAULT_LEASE = 30_000
export const SHORTEST_LEASE = 1_000
/** Fits, with what the server adds, into the largest wait_timeout that every platform's MySQL takes. */
const LONGEST_LEASE = 2_145_000_000
const DEFAULT_MAX_SESSIONS = 4
const DEFAULT_DONE_TABLE = 'named_lock_done'

/** Defaults that depend on how a service is created. */
export type ServiceDefaults = Pick<NamedLockServiceOptions, 'ambientTransactions'>

/** Checks the options of a service; every mistake is a NamedLockConfigurationError that names the option. */
export function readServiceOptions(given: NamedLockServiceOptions, defaults: ServiceDefaults = {}): Settings {
  const options = known(given, SERVICE_OPTIONS, 'NamedLockService')
  const lease = duration(options.lease, 'lease', DEFAULT_LEASE)
  if (lease < SHORTEST_LEASE || lease > LONGEST_LEASE) {
    throw new NamedLockConfigurationError(
      `lease: ${lease} ms is out of range: it must be at least ${SHORTEST_LEASE} ms and at most ${LONGEST_LEASE} ms.`,
    )
  }
  const keepAlive = duration(options.keepAlive, 'keepAlive', lease / 3)
  if (keepAlive <= 0 || keepAlive > lease / 2) {
    throw new NamedLockConfigurationError(
      `keepAlive: ${keepAlive} ms does not fit a lease of ${lease} ms: it must be more than 0 and at most half of the lease, so that one late answer does not end it.`,
    )
  }
  const handOver = known(options.handOver ?? {}, ['times', 'for'], 'handOver')
  return {
    namespace: readNamespace(options.namespace),
    timeout: duration(options.timeout, 'timeout', DEFAULT_TIMEOUT),
    lease,
    keepAlive,
    allowNoLease: flag(options.allowNoLease, 'allowNoLease'),
    maxSessions: count(options.maxSessions, 'maxSessions', DEFAULT_MAX_SESSIONS, 1),
    maxLocks: options.maxLocks === undefined ? undefined : count(options.maxLocks, 'maxLocks', 0, 1),
    connections: oneOf(options.connections, 'connections', ['pool', 'own'], 'pool'),
    pooling: oneOf(options.pooling, 'pooling', ['session', 'transaction'], 'session'),
    handOver: {
      times: handOver.times === Infinity ? Infinity : count(handOver.times, 'handOver.times', 256, 0),
      for: duration(handOver.for, 'handOver.for', 50),
    },
    release: oneOf(options.release, 'release', RELEASES, 'awaited'),
    closeTimeout: duration(options.closeTimeout, 'closeTimeout', 5_000),
    insideTransaction: oneOf(options.insideTransaction, 'insideTransaction', ['error', 'warn', 'allow'], 'error'),
    ambientTransactions: flag(options.ambientTransactions ?? defaults.ambientTransactions, 'ambientTransactions'),
    outsideTransaction: oneOf(options.outsideTransaction, 'outsideTransaction', ['error', 'warn', 'allow'], 'error'),
    fencing: readTable(options.fencing, 'fencing'),
    done: readTable(options.done, 'done') ?? { table: DEFAULT_DONE_TABLE },
  }
}

/** The settings of calls without options: made once per service, so that such calls allocate nothing. */
export function defaultCall(timeout: number, release: ReleaseKind): CallSettings {
  return {
    timeout,
    signal: undefined,
    reentrant: false,
    exactName: false,
    session: 'shared',
    mode: undefined,
    permits: undefined,
    release,
    isPatient: false,
    isolation: undefined,
    retry: undefined,
  }
}

/** The calls with options. Errors name the call, to show where the mistake is. */
export type CallName =
  | 'withLock'
  | 'tryWithLock'
  | 'acquire'
  | 'tryAcquire'
  | 'transaction'
  | 'lockTransaction'
  | 'runOnce'
  | 'runMigrations'
  | '@WithNamedLock'

/** Checks the options of one call, before anything is sent for it. */
export function readCallOptions(given: unknown, fallback: CallSettings, call: CallName): CallSettings {
  if (given === undefined) return fallback
  // Without a closure for the call: this is the path of all calls with options.
  try {
    const options = known(given as AcquireOptions & TransactionOptions, optionsOf(call))
    return {
      timeout: duration(options.timeout, 'timeout', fallback.timeout),
      signal: readSignal(options.signal),
      reentrant: flag(options.reentrant, 'reentrant'),
      exactName: flag(options.exactName, 'exactName'),
      session: oneOf(options.session, 'session', ['shared', 'dedicated'], 'shared'),
      mode: readMode(options.mode),
      permits: readPermits(options),
      release: oneOf(options.release, 'release', RELEASES, fallback.release),
      isPatient: false,
      isolation: readIsolation(options.isolation),
      retry: readRetry(options.retry),
    }
  } catch (error) {
    throw inCall(call, error)
  }
}

function optionsOf(call: CallName): readonly string[] {
  if (call === 'transaction' || call === 'runOnce') return TRANSACTION_OPTIONS
  return call === 'lockTransaction' ? LOCK_TRANSACTION_OPTIONS : ACQUIRE_OPTIONS
}

/** The error of a wrong option, with the call that was made. */
export function inCall(call: string, error: unknown): unknown {
  return error instanceof NamedLockConfigurationError
    ? new NamedLockConfigurationError(`${call}: ${error.message}`)
    : error
}

/** Checks the option `retry` of a decorator. */
export function readDecoratorRetry(value: unknown): Retry | undefined {
  try {
    return readRetry(value)
  } catch (error) {
    throw inCall('@WithNamedLock', error)
  }
}

/** Checks the signal of one call of a decorated method. */
export function readDecoratorSignal(value: unknown): AbortSignal | undefined {
  try {
    return readSignal(value)
  } catch (error) {
    throw inCall('@WithNamedLock', error)
  }
}

/** Checks the options of `isLocked` and `holder`. */
export function readInspectOptions(
  given: unknown,
  call: 'isLocked' | 'holder',
): { readonly exactName: boolean; readonly permits: number | undefined } {
  if (given === undefined) return { exactName: false, permits: undefined }
  try {
    const options = known(given as InspectOptions, ['exactName', 'permits'])
    return { exactName: flag(options.exactName, 'exactName'), permits: readPermits(options) }
  } catch (error) {
    throw inCall(call, error)
  }
}

/** Checks the options of `list`. */
export function readListOptions(given: unknown): { prefix: string; waiting: boolean } {
  if (given === undefined) return { prefix: '', waiting: false }
  try {
    const { prefix = '', waiting } = known(given as ListOptions, ['prefix', 'waiting'])
    if (typeof prefix !== 'string')
      throw new NamedLockConfigurationError(`prefix must be a string; got ${show(prefix)}.`)
    return { prefix, waiting: flag(waiting, 'waiting') }
  } catch (error) {
    throw inCall('list', error)
  }
}

/** Checks the options of `check`. */
export function readCheckOptions(given: unknown): { readonly lease: boolean } {
  if (given === undefined) return { lease: false }
  try {
    const { lease } = known(given as CheckOptions, ['lease'], undefined, '{ lease: true }')
    return { lease: flag(lease, 'lease') }
  } catch (error) {
    throw inCall('check', error)
  }
}

function readNamespace(value: unknown): string | false | undefined {
  if (value === undefined || value === false) return value
  if (
    typeof value === 'string' &&
    value !== '' &&
    value.isWellFormed() &&
    value.length <= 1024 &&
    !value.includes('\0')
  )
    return value
  throw new NamedLockConfigurationError(
    `namespace must be a non-empty string of at most 1024 characters without NUL, or false for none; got ${show(value)}.`,
  )
}

function readTable(value: unknown, option: string): { readonly table: string } | undefined {
  if (value === undefined) return undefined
  const { table } = known(value as { table: string }, ['table'], option, "{ table: 'locks' }")
  if (typeof table === 'string' && /^[\p{L}_][\p{L}\p{N}_$]*(\.[\p{L}_][\p{L}\p{N}_$]*)?$/u.test(table))
    return { table }
  throw new NamedLockConfigurationError(
    `${option}.table must be the name of a table (letters, digits, _ and $; schema.table is fine); got ${show(table)}.`,
  )
}

function readIsolation(value: unknown): TransactionOptions['isolation'] {
  return value === undefined ? undefined : oneOf(value, 'isolation', ISOLATION_LEVELS, 'REPEATABLE READ')
}

function readMode(value: unknown): LockMode | undefined {
  return value === undefined ? undefined : oneOf<LockMode>(value, 'mode', ['read', 'write'], 'write')
}

function readRetry(value: unknown): Retry | undefined {
  if (value === undefined) return undefined
  const options = known(value as RetryOptions, ['deadlock', 'serialization'], 'retry', '{ deadlock: 3 }')
  const deadlock = count(options.deadlock, 'retry.deadlock', 0, 0, MOST_REPETITIONS)
  const serialization = count(options.serialization, 'retry.serialization', 0, 0, MOST_REPETITIONS)
  return deadlock + serialization > 0 ? { deadlock, serialization } : undefined
}

function readPermits({ permits, mode, exactName }: AcquireOptions): number | undefined {
  if (permits === undefined) return undefined
  const number = count(permits, 'permits', 1, 1, MOST_PERMITS)
  const other = mode !== undefined ? 'mode' : exactName ? 'exactName' : undefined
  if (other === undefined) return number
  throw new NamedLockConfigurationError(
    `permits cannot be combined with ${other}: the permits of a name are locks with keys of their own. Leave one of the two out.`,
  )
}

export function readSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined) return undefined
  const signal = value as AbortSignal | null
  if (
    typeof signal === 'object' &&
    typeof signal?.aborted === 'boolean' &&
    typeof signal.addEventListener === 'function'
  ) {
    return signal
  }
  throw new NamedLockConfigurationError(
    `signal must be an AbortSignal; got ${show(value)}. Of an AbortController, pass its \`signal\` property.`,
  )
}
