import { notAnswered } from '../contract/database-error.js'
import { NamedLockTimeoutError } from '../contract/errors.js'
import type { LockHolder } from '../contract/lock-info.js'
import type { LockNames } from '../contract/options.js'
import { because } from '../contract/troubleshooting.js'
import type { HolderLookup } from '../inspect/holder-lookup.js'
import { namesOf } from '../names/targets.js'
import type { Claim } from '../queue/claim.js'
import type { Sessions } from '../session/sessions.js'
import { wallNow } from '../util/clock.js'

/*
 * The errors of callers that time out. Each says for which lock, after how long, and why as far as it is known: the holder of the
 * lock, or what kept the caller from querying the database.
 */

/** The lock was not granted in time. */
export async function timeoutError(
  claim: Claim,
  lookup: HolderLookup,
  sessions: Sessions,
): Promise<NamedLockTimeoutError> {
  const { obstacle } = claim.source ?? sessions
  const isAsked = !obstacle && claim.slot.trouble === undefined
  return timeoutErrorOf(claim, isAsked ? await lookup.findQuickly(claim) : undefined, obstacle)
}

/** The same, with what is known of the holder. */
export function timeoutErrorOf(
  claim: Claim,
  holder: LockHolder | undefined,
  obstacle = claim.source?.obstacle,
): NamedLockTimeoutError {
  const what = timedOut(`lock '${claim.name}'`, claim.acquisition.call.timeout)
  if (obstacle) return notAnswered(what, obstacle)
  const { trouble } = claim.slot
  if (trouble !== undefined) {
    const reason = trouble instanceof Error ? trouble.message : 'It failed.'
    const message = because('no-answer', `${what}: the database could not be queried. ${reason}`)
    return new NamedLockTimeoutError(message, { cause: trouble })
  }
  if (!holder) return new NamedLockTimeoutError(`${what}. Its holder is not known.`)
  return new NamedLockTimeoutError(`${what}. ${describe(holder)}`, { holder })
}

/** The caller did not want to wait for the lock, and even its one request was not answered. */
export function unansweredError(claim: Claim, obstacle: string | undefined): NamedLockTimeoutError {
  const time = Math.round(claim.deadline - claim.startedAt)
  return notAnswered(`Could not request lock '${claim.name}' within ${time} ms`, obstacle)
}

/** The name of the database, which the key of the lock begins with, was not known in time. */
export function unsettledError(
  names: LockNames,
  milliseconds: number,
  obstacle: string | undefined,
): NamedLockTimeoutError {
  const all = namesOf(names)
  return notAnswered(timedOut(`${all.length === 1 ? 'lock' : 'locks'} '${all.join("', '")}'`, milliseconds), obstacle)
}

/** The server did not answer a question that comes before all locks. */
export function noAnswerError(): NamedLockTimeoutError {
  return new NamedLockTimeoutError(because('no-answer', 'The database did not answer in time.'))
}

/** The lock was acquired, but the transaction under it did not begin in time. */
export function beginTimeoutError(name: string, milliseconds: number): NamedLockTimeoutError {
  return new NamedLockTimeoutError(
    because(
      'no-answer',
      `Timed out waiting for the transaction of lock '${name}' to begin: the lock was acquired, but the database has not ` +
        `answered the BEGIN for ${Math.round(milliseconds)} ms. The connection was closed; nothing was written.`,
    ),
  )
}

function timedOut(what: string, milliseconds: number): string {
  // What is left of a timeout after a first step has fractions.
  return `Timed out after ${Math.ceil(milliseconds)} ms waiting for ${what}`
}

/** `Held by vm:15594 (connection 1200, root@localhost) for 12 s.` */
function describe({ connectionId, user, host, since, process }: LockHolder): string {
  const connection = `connection ${connectionId}`
  const account = user === undefined ? undefined : `${user}${host === undefined ? '' : `@${host}`}`
  const details = [process && connection, account].filter((one) => one !== undefined).join(', ')
  const time = since === undefined ? '' : ` for ${lengthOf(wallNow() - since.getTime())}`
  return `Held by ${process ?? connection}${details && ` (${details})`}${time}.`
}

/** A time as people say it: `0.3 s`, `12 s`, `5 min`, `3 h`. The clocks of two machines may differ, so none is negative. */
function lengthOf(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1_000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  return `${Math.round(seconds / 3_600)} h`
}
