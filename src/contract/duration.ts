import { NamedLockConfigurationError } from './errors.js'

/** A number of milliseconds, or a number with a unit: `'500ms'`, `'10s'`, `'2m'`, `'1h'`, `'30d'`. `Infinity`: no limit. */
export type Duration = [MillisecondsOrSuchAs<'500ms' | '10s' | '2m' | '1h' | '30d'>][0]

/**
 * Its name and the examples are what a compiler's message shows of a `Duration`. An alias of an alias would be shown by its own name,
 * so the tuple hides that one. The examples are part of the type already.
 */
type MillisecondsOrSuchAs<Examples> = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}` | Examples

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const TEXT = /^\s*(\d+(?:\.\d+)?|\.\d+|Infinity)\s*(ms|s|m|h|d)?\s*$/

/**
 * Turns configuration text (`'10s'`, `'1.5h'`, `'500'`: milliseconds, `'Infinity'`) into milliseconds.
 *
 * @throws A {@link NamedLockConfigurationError}: Anything else, negative numbers included.
 *
 * @example
 * const locks = new NamedLockService(dataSource, { timeout: parseDuration(process.env.LOCK_TIMEOUT ?? '10s') })
 */
export function parseDuration(text: string): number {
  const match = typeof text === 'string' ? TEXT.exec(text) : null
  if (!match) {
    throw new NamedLockConfigurationError(
      `${describe(text)} is not a duration: use milliseconds or a number with a unit, such as 500, '500ms', '10s', '2m', '1h' or '30d'.`,
    )
  }
  return Number(match[1]) * UNITS[(match[2] ?? 'ms') as keyof typeof UNITS]
}

/** Milliseconds of a duration option; `what` names the option in the error. */
export function milliseconds(value: Duration, what: string): number {
  if (typeof value === 'number' && value >= 0) return value
  if (typeof value === 'string') {
    try {
      return parseDuration(value)
    } catch (error) {
      throw new NamedLockConfigurationError(`${what}: ${(error as Error).message}`)
    }
  }
  throw new NamedLockConfigurationError(
    `${what}: ${describe(value)} is not a duration: use milliseconds (0 or more) or a string such as '500ms', '10s', '2m', '1h' or '30d'.`,
  )
}

function describe(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : typeof value === 'symbol' ? value.toString() : String(value)
}
