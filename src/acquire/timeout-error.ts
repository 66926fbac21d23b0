import { NamedLockTimeoutError } from '../contract/errors.js'
import type { LockHolder } from '../contract/lock-info.js'
import type { LockNames } from '../contract/options.js'
import type { HolderLookup } from '../inspect/holder-lookup.js'
import { namesOf } from '../names/targets.js'
import type { Claim } from '../queue/claim.js'
import type { Sessions } from '../session/sessions.js'

/*
 * The errors of callers that time out. Each says for which lock, after how long, and why as far as it is known: the holder of the
 * lock, or what kept the caller from asking the database.
 */

/** The lock was not granted in time. */
export async function timeoutError(
  claim: Claim,
  lookup: HolderLookup,
  sessions: Sessions,
): Promise<NamedLockTimeoutError> {
  const what = notWithin(`'${claim.name}'`, claim.acquisition.call.timeout)
  const { obstacle } = claim.source ?? sessions
  if (obstacle) return new NamedLockTimeoutError(`${what}: ${obstacle}.`)
  const { trouble } = claim.slot
  if (trouble !== undefined) {
    const reason = trouble instanceof Error ? trouble.message : 'It failed.'
    return new NamedLockTimeoutError(`${what}: the database could not be asked. ${reason}`, { cause: trouble })
  }
  const holder = await lookup.findQuickly(claim)
  if (!holder) return new NamedLockTimeoutError(`${what}; its holder is not known.`)
  return new NamedLockTimeoutError(`${what}: ${describe(holder)} holds it.`, { holder })
}

/** The caller did not want to wait for the lock, and even its one request was not answered. */
export function unansweredError(claim: Claim, obstacle = 'the database did not answer'): NamedLockTimeoutError {
  const time = Math.round(claim.deadline - claim.startedAt)
  return new NamedLockTimeoutError(`Could not ask for the lock '${claim.name}' within ${time} ms: ${obstacle}.`)
}

/** The name of the database, which the key of the lock begins with, was not known in time. */
export function unsettledError(
  names: LockNames,
  milliseconds: number,
  obstacle = 'the database did not answer in that time',
): NamedLockTimeoutError {
  return new NamedLockTimeoutError(`${notWithin(`'${namesOf(names).join("', '")}'`, milliseconds)}: ${obstacle}.`)
}

/** The server did not answer a question that comes before all locks. */
export function noAnswerError(): NamedLockTimeoutError {
  return new NamedLockTimeoutError('The database did not answer.')
}

/** The lock was acquired, but the transaction under it did not begin in time. */
export function beginTimeoutError(name: string, milliseconds: number): NamedLockTimeoutError {
  return new NamedLockTimeoutError(
    `Timed out waiting for the transaction of lock '${name}' to begin: the lock was acquired, but the database has not ` +
      `answered the BEGIN for ${Math.round(milliseconds)} ms. The connection was closed; nothing was written.`,
  )
}

function notWithin(quotedNames: string, milliseconds: number): string {
  return `Could not get the lock ${quotedNames} within ${milliseconds} ms`
}

function describe({ connectionId, user, host, since, process }: LockHolder): string {
  const account = user === undefined ? undefined : `${user}${host === undefined ? '' : `@${host}`}`
  const known = [account, process && `process ${process}`].filter((one) => one !== undefined)
  const details = known.length === 0 ? '' : ` (${known.join(', ')})`
  const time = since === undefined ? '' : `, since ${since.toISOString()},`
  return `connection ${connectionId}${details}${time}`
}
