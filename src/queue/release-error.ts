import { NamedLockError, NamedLockLostError } from '../contract/errors.js'
import type { Claim } from './claim.js'

/** The error of a release that failed, or that found the lock gone (no `cause`). */
export function releaseError({ name }: Claim, cause: Error | undefined): Error {
  return cause
    ? new NamedLockError(`Lock '${name}' could not be released: ${cause.message}`, { cause })
    : new NamedLockLostError(`Lock '${name}' could not be released: the server says that it was not held any more.`)
}
