import { NamedLockTimeoutError } from '../contract/errors.js'
import type { HolderLookup } from '../inspect/holder-lookup.js'
import type { LockHolder } from '../contract/lock-info.js'
import type { Claim } from '../queue/claim.js'
import type { Sessions } from '../session/sessions.js'
import type { CallSettings } from '../contract/settings.js'

/** The error of a caller whose time ran out: which lock, how long, and who has it as far as that can be told. */
export async function timeoutError(
  claim: Claim,
  call: CallSettings,
  lookup: HolderLookup,
  sessions: Sessions,
): Promise<NamedLockTimeoutError> {
  const what = `Could not get the lock '${claim.name}' within ${call.timeout} ms`
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

function describe({ connectionId, user, host, since, process }: LockHolder): string {
  const account = user === undefined ? undefined : `${user}${host === undefined ? '' : `@${host}`}`
  const known = [account, process && `process ${process}`].filter((one) => one !== undefined)
  const who = known.length === 0 ? '' : ` (${known.join(', ')})`
  const time = since === undefined ? '' : `, since ${since.toISOString()},`
  return `connection ${connectionId}${who}${time}`
}
