import { show } from '../util/show.js'
import { milliseconds } from './duration.js'
import { NamedLockConfigurationError } from './errors.js'

/*
 * Checks of single options. Each returns the value, or the default of an option that was left out, and names a wrong option in a
 * NamedLockConfigurationError.
 */

/** Options of other names, with what to pass instead. */
const RENAMED: Readonly<Record<string, string>> = { shared: "A reader passes mode: 'read', a writer mode: 'write'." }

/** The options as they are, if all of them exist; `where` begins the error. */
export function known<T extends object>(
  given: T,
  allowed: readonly string[],
  where?: string,
  example = "{ timeout: '5s' }",
): T {
  const prefix = where === undefined ? '' : `${where}: `
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new NamedLockConfigurationError(
      `${prefix}the options must be an object such as ${example}; got ${show(given)}.`,
    )
  }
  for (const key of Object.keys(given)) {
    if (!allowed.includes(key)) {
      throw new NamedLockConfigurationError(
        `${prefix}there is no option '${key}'. ${(allowed.includes('mode') && RENAMED[key]) || `The options are ${allowed.join(', ')}.`}`,
      )
    }
  }
  return given
}

export function duration(value: unknown, what: string, fallback: number): number {
  return value === undefined ? fallback : milliseconds(value as number, what)
}

export function flag(value: unknown, what: string): boolean {
  if (value === undefined) return false
  if (typeof value === 'boolean') return value
  throw new NamedLockConfigurationError(`${what} must be a boolean; got ${show(value)}.`)
}

export function count(value: unknown, what: string, fallback: number, least: number, most = Infinity): number {
  if (value === undefined) return fallback
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return value as number
  const range = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`
  throw new NamedLockConfigurationError(`${what} must be a whole number ${range}; got ${show(value)}.`)
}

export function oneOf<T extends string>(value: unknown, what: string, allowed: readonly T[], fallback: T): T {
  if (value === undefined) return fallback
  if (allowed.includes(value as T)) return value as T
  throw new NamedLockConfigurationError(
    `${what} must be one of ${allowed.map((a) => `'${a}'`).join(', ')}; got ${show(value)}.`,
  )
}
