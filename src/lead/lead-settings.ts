import { NamedLockConfigurationError } from '../contract/errors.js'
import { duration, known } from '../contract/option-checks.js'
import { inCall, readSignal } from '../contract/settings.js'
import type { LeadOptions } from './leadership.js'

/** The options of `lead`, checked and with their defaults filled in. */
export interface LeadSettings {
  /** In milliseconds; undefined: one term only. */
  readonly restart: number | undefined
  readonly signal: AbortSignal | undefined
}

const DEFAULT_RESTART = 1_000

/**
 * @param call For the errors.
 * @throws NamedLockConfigurationError
 */
export function readLeadOptions(given: unknown, call = 'lead'): LeadSettings {
  if (given === undefined) return { restart: DEFAULT_RESTART, signal: undefined }
  try {
    const options = known(given as LeadOptions, ['restart', 'signal'], undefined, "{ restart: '5s' }")
    return { restart: readRestart(options.restart), signal: readSignal(options.signal) }
  } catch (error) {
    throw inCall(call, error)
  }
}

function readRestart(value: unknown): number | undefined {
  if (value === false) return undefined
  const time = duration(value, 'restart', DEFAULT_RESTART)
  if (time < Infinity) return time
  throw new NamedLockConfigurationError(
    'restart: after Infinity the process would never campaign again. Use false, which ends the leadership with the first term.',
  )
}
