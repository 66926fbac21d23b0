import { NamedLockConfigurationError } from '../contract/errors.js'
import type { Finding } from '../contract/lock-info.js'
import { show } from '../util/show.js'

/** A size as the application gave it, and where. */
export interface GivenSize {
  readonly option: string
  readonly value: unknown
}

/** Whether a driver can read a number in it, as in '3' from the environment. */
export function isNumeric(value: unknown): boolean {
  return !Number.isNaN(Number(value))
}

/**
 * The rule: a size is what the driver makes of it, for it is the driver's pool. A size with which the pool never gives a connection
 * out is refused: everything that waits for one would wait forever.
 */
export function usableSize(size: number, { option, value }: GivenSize): number {
  if (size > 0) return Math.ceil(size)
  throw new NamedLockConfigurationError(
    `The DataSource's ${option} is ${show(value)}: its pool never gives a connection out. ` +
      'Set it to a whole number of at least 2, better 10.',
  )
}

/** For `check`: the driver has silently taken another size than the one that was given. */
export function checkSize({ option, value }: GivenSize, taken: number): Finding[] {
  if (value === undefined || value === null || isNumeric(value)) return []
  return [
    {
      code: 'POOL_SIZE_NOT_A_NUMBER',
      severity: 'warning',
      message: `The DataSource's ${option} is ${show(value)}, which is no number: the driver takes ${taken === Infinity ? 'any number of connections' : taken} instead.`,
      remedy: `Set ${option} to a whole number.`,
    },
  ]
}
