import { NamedLockError } from './errors.js'

/** The database's own error as `cause`; errors of this library stay what they are. */
export function databaseError(what: string, error: unknown): Error {
  if (error instanceof NamedLockError) return error
  return new NamedLockError(`${what}: ${error instanceof Error ? error.message || error.name : String(error)}`, {
    cause: error,
  })
}
