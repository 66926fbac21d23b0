import { NamedLockClosedError, NamedLockError } from '../contract/errors.js'
import { show } from '../util/show.js'

/*
 * The reasons for the end of a term. All of them are errors, because a reason is what waiting code rejects with.
 */

export function resigned(name: string): NamedLockError {
  return new NamedLockError(`The leadership of '${name}' has ended: this process resigned.`, { code: 'RESIGNED' })
}

export function workReturned(name: string): NamedLockError {
  return new NamedLockError(`The term of the leader of '${name}' has ended: its work returned.`, { code: 'RESIGNED' })
}

export function serviceClosed(name: string): NamedLockClosedError {
  return new NamedLockClosedError(`The leadership of '${name}' has ended: the lock service was closed.`)
}

/** What the work threw, or the reason of a signal, as an error. */
export function asError(value: unknown, name: string): Error {
  return value instanceof Error
    ? value
    : new Error(`The leadership of '${name}' has ended: ${show(value)}`, { cause: value })
}

/** The work failed only because its term had ended: it rejected with the reason of the signal, or as Node.js rejects for a signal. */
export function isAftermath(error: unknown, { aborted, reason }: AbortSignal): boolean {
  if (!aborted) return false
  const { name, cause, code } = (error ?? {}) as { name?: unknown; cause?: unknown; code?: unknown }
  const isOfLibrary = error instanceof NamedLockError && code === (reason as { code?: unknown }).code
  return error === reason || cause === reason || name === 'AbortError' || isOfLibrary
}
