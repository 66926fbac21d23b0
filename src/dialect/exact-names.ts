import { InvalidLockNameError } from '../errors.js'
import { checkName, type ExactNameRules } from '../lock-name.js'
import type { LockName } from '../options.js'
import { show } from '../settings.js'

export { exactKeyFor, foldForExclusion } from '../lock-name.js'

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

/**
 * The PostgreSQL advisory key that `exactName` asks for: the bigint itself.
 *
 * @throws InvalidLockNameError for text, and for a bigint of more than 64 bits.
 */
export function postgresExactKey(name: LockName): bigint {
  if (typeof name !== 'bigint') {
    throw new InvalidLockNameError(
      `${show(checkName(name))} can not be an exact name on PostgreSQL, whose advisory keys are numbers: give a bigint, such as 42n.`,
    )
  }
  if (BigInt.asIntN(64, name) !== name) {
    throw new InvalidLockNameError(
      `${name}n can not be an exact name on PostgreSQL: an advisory key has 64 bits, with a sign.`,
    )
  }
  return name
}
