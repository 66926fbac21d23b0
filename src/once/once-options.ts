import { milliseconds, type Duration } from '../contract/duration.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import { flag, known } from '../contract/option-checks.js'
import type { TransactionOptions } from '../contract/options.js'
import { readCallOptions, type CallSettings } from '../contract/settings.js'
import { show } from '../util/show.js'

/** The options of `runOnce`. */
export interface OnceOptions extends Omit<TransactionOptions, 'mode' | 'permits'> {
  /** Done longer ago than that counts as not done, by the server's clock: `'20h'`. Default: done is done forever. */
  every?: Duration | undefined
}

/** `value?: undefined` on the second arm keeps `const { ran, value } = …` legal. */
export type OnceResult<T> =
  | { readonly ran: true; readonly value: T }
  /** `doneAt`: when the transaction that did it wrote so, by the server's clock. */
  | { readonly ran: false; readonly value?: undefined; readonly doneAt: Date }

/** The name of what `forget` is asked for, as InspectOptions. */
export interface ForgetOptions {
  /** As in AcquireOptions. */
  exactName?: boolean | undefined
}

/** The options of `forgetDone`. */
export interface ForgetDoneOptions {
  /** Names that were done longer ago than that, by the server's clock: `'30d'`. */
  olderThan: Duration
}

const OPTIONS = ['timeout', 'signal', 'reentrant', 'exactName', 'isolation', 'retry', 'every']

export function readOnceOptions(given: unknown, fallback: CallSettings): { call: CallSettings; every: number } {
  if (given === undefined) return { call: dedicated(fallback), every: Infinity }
  const { every, ...options } = known(given as OnceOptions, OPTIONS, 'runOnce', "{ every: '20h' }")
  const call = readCallOptions(options, fallback, 'runOnce')
  return { call: dedicated(call), every: readEvery(every, 'runOnce') }
}

export function readEvery(value: unknown, where: string): number {
  if (value === undefined) return Infinity
  const every = milliseconds(value as Duration, `${where}: every`)
  if (every > 0) return every
  throw new NamedLockConfigurationError(
    `${where}: every: ${show(value)} is too short: nothing would ever count as done.`,
  )
}

export function readForgetOptions(given: unknown, fallback: CallSettings): CallSettings {
  if (given === undefined) return fallback
  const { exactName } = known(given as ForgetOptions, ['exactName'], 'forget', '{ exactName: true }')
  return { ...fallback, exactName: flag(exactName, 'forget: exactName') }
}

export function readPurgeOptions(given: unknown): number {
  const example = "{ olderThan: '30d' }"
  const { olderThan } = known(given as ForgetDoneOptions, ['olderThan'], 'forgetDone', example)
  if (olderThan === undefined) {
    throw new NamedLockConfigurationError(
      `forgetDone: olderThan is missing: without it everything that was done could be done again. Pass ${example}.`,
    )
  }
  const age = milliseconds(olderThan, 'forgetDone: olderThan')
  if (age !== Infinity) return age
  throw new NamedLockConfigurationError('forgetDone: olderThan: Infinity is older than everything.')
}

function dedicated(call: CallSettings): CallSettings {
  return { ...call, session: 'dedicated' }
}
