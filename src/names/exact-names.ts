import { InvalidLockNameError } from '../contract/errors.js'
import { checkName, type ExactNameRules } from './lock-name.js'
import type { LockName } from '../contract/options.js'
import { show } from '../util/show.js'

export { exactKeyFor, foldForExclusion } from './lock-name.js'

/** Measured on both servers: 'a', 'a\0b' and 'a\0c' are one lock. */
const ENDS_AT_NUL = 'it has a NUL, where the server would end it'

/** MySQL keeps names as utf8mb3, folded to lower case. */
export const MYSQL_EXACT_NAMES: ExactNameRules = {
  server: 'MySQL',
  refusal: (name) => {
    if (name.includes('\0')) return ENDS_AT_NUL
    if (/[\u{10000}-\u{10ffff}]/u.test(name)) return 'it has a character outside the Basic Multilingual Plane'
    // What is left has one UTF-16 unit per character.
    return name.length > 64 ? `it has ${name.length} characters, and the server takes 64` : undefined
  },
}

/** MariaDB compares names byte by byte. */
export const MARIADB_EXACT_NAMES: ExactNameRules = {
  server: 'MariaDB',
  refusal: (name) => {
    if (name.includes('\0')) return ENDS_AT_NUL
    const bytes = Buffer.byteLength(name, 'utf8')
    return bytes > 192 ? `it has ${bytes} bytes of UTF-8, and the server takes 192` : undefined
  },
}

const LOWEST_KEY = -(2n ** 63n)
const HIGHEST_KEY = 2n ** 63n - 1n

/**
 * The PostgreSQL advisory key that `exactName` asks for: the bigint itself, or its decimal text as `lock.key` has it. Only the
 * canonical text: two texts that are one key would look like two locks to their callers.
 *
 * @throws InvalidLockNameError for other text, and for a number of more than 64 bits.
 */
export function postgresExactKey(name: LockName): bigint {
  if (typeof name !== 'bigint' && !/^(0|-?[1-9]\d{0,18})$/.test(checkName(name))) {
    throw new InvalidLockNameError(
      `${show(name)} cannot be an exact name on PostgreSQL, where advisory keys are numbers. Pass a bigint such as 42n, or its ` +
        "decimal text such as '42': signed 64-bit, without leading zeros, plus sign or spaces.",
    )
  }
  const key = BigInt(name)
  if (key < LOWEST_KEY || key > HIGHEST_KEY) {
    throw new InvalidLockNameError(
      `${show(name)} cannot be an exact name on PostgreSQL: an advisory key is a signed 64-bit number.`,
    )
  }
  return key
}
