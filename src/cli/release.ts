import { createInterface } from 'node:readline/promises'
import type { DataSource } from 'typeorm'
import { dialectFor } from '../dialect/choose-dialect.js'
import { inspectorOf, type NamedLockService } from '../service/named-lock-service.js'
import type { InspectOptions } from '../contract/options.js'
import type { LockHolder } from '../contract/lock-info.js'
import { ExitCode, UserError } from './exit-codes.js'
import { age, describeHolder, printable } from './format.js'
import { freeText, labelOf, Namespaces } from './namespaces.js'
import { monotonicNow } from '../util/clock.js'

/** How long the server may take to end a connection. */
const PATIENCE = 5_000

export interface ReleaseFlags extends InspectOptions {
  readonly killHolder?: boolean
  readonly yes?: boolean
}

/** Kills the connection that holds the lock: the only way to take a named lock from its holder. */
export async function release(
  locks: NamedLockService,
  dataSource: DataSource,
  name: string,
  { killHolder, yes, exactName, permits }: ReleaseFlags,
): Promise<number> {
  const holder = await locks.holder(name, { exactName, permits })
  if (!holder) {
    console.log(freeText(name, await Namespaces.look(locks), exactName))
    return ExitCode.ok
  }
  const where = labelOf(exactName ? false : inspectorOf(locks).namespace)
  if (!killHolder) {
    throw new UserError(
      `'${printable(name)}' in ${where} is held by ${describeHolder(holder)}${permitOf(holder)}. A lock can only be taken from its holder by ending that connection, ` +
        'with its work and all other locks that it holds. Pass --kill-holder to confirm.',
    )
  }
  if (!yes && !(await isAgreed(name, where, holder))) {
    console.error('Aborted.')
    return ExitCode.failed
  }
  // The holder may have released the lock during the question, and the confirmation does not cover the next holder.
  const now = await locks.holder(name, { exactName, permits })
  if (now?.connectionId !== holder.connectionId) {
    throw new UserError('Another connection holds the lock now. Aborted.', ExitCode.failed)
  }
  await dataSource.query(dialectFor(dataSource).endConnection(holder.connectionId)).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UserError(
      `Connection ${holder.connectionId} could not be ended: ${reason} (this needs CONNECTION_ADMIN; on MariaDB CONNECTION ADMIN, on PostgreSQL pg_signal_backend)`,
      ExitCode.failed,
      { cause: error },
    )
  })
  const end = monotonicNow() + PATIENCE
  while ((await locks.holder(name, { exactName, permits }))?.connectionId === holder.connectionId) {
    if (monotonicNow() > end) {
      throw new UserError(
        `Connection ${holder.connectionId} was ended, but still holds the lock after ${PATIENCE / 1_000} s.`,
        ExitCode.failed,
      )
    }
  }
  console.log(`Ended ${describeHolder(holder)}, which held '${printable(name)}' in ${where}${permitOf(holder)}.`)
  return ExitCode.ok
}

function permitOf({ permit }: LockHolder): string {
  return permit === undefined ? '' : ` (permit ${permit})`
}

async function isAgreed(name: string, where: string, holder: LockHolder): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UserError('No terminal to ask for confirmation: pass --yes.')
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  const since = holder.since ? `, for ${age(holder.since)}` : ''
  const question = `End ${describeHolder(holder)}, which holds '${printable(name)}' in ${where}${permitOf(holder)}${since}? All other locks and the work of that connection end with it. [y/N] `
  try {
    return /^y(es)?$/i.test((await prompt.question(question)).trim())
  } catch {
    process.stderr.write('\n')
    return false // Ctrl-C, or the end of the input
  } finally {
    prompt.close()
  }
}
