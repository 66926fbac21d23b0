import { NamedLockError, NamedLockTimeoutError } from './errors.js'
import { because } from './troubleshooting.js'

/* The errors of a database that failed, or that did not answer in time. */

/** The database's own error as `cause`; errors of this library stay what they are. */
export function databaseError(what: string, error: unknown): Error {
  if (error instanceof NamedLockError) return error
  return new NamedLockError(`${what}: ${error instanceof Error ? error.message || error.name : String(error)}`, {
    cause: error,
  })
}

/** @param obstacle Why not even the request could be sent; undefined if it was sent. */
export function notAnswered(what: string, obstacle: string | undefined): NamedLockTimeoutError {
  return new NamedLockTimeoutError(
    obstacle === undefined
      ? because('no-answer', `${what}: the database did not answer in time.`)
      : because('no-free-connection', `${what}: ${obstacle}.`),
  )
}
