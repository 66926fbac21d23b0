import type { NamedLock } from '../scope/named-lock.js'
import { printable } from './format.js'

/** What a command learns of its lock: the variables in the environment of `run`, and the line of `hold`. */
export function lockVariables(lock: NamedLock, token: bigint): Record<string, string> {
  return {
    NAMED_LOCK_NAME: lock.name,
    NAMED_LOCK_KEY: lock.key,
    NAMED_LOCK_FENCING_TOKEN: String(token),
    ...(lock.permit !== undefined && { NAMED_LOCK_PERMIT: String(lock.permit) }),
  }
}

/** The variables as one line that a POSIX shell can evaluate. Control characters are escaped, so it stays one line. */
export function shellLine(variables: Readonly<Record<string, string>>): string {
  const quoted = (text: string): string => `'${printable(text).replaceAll("'", `'\\''`)}'`
  return Object.entries(variables)
    .map(([variable, value]) => `${variable}=${quoted(value)}`)
    .join(' ')
}
