import { createInterface } from 'node:readline/promises'
import type { DataSource } from 'typeorm'
import { dialectFor } from '../dialect/index.js'
import type { NamedLockService } from '../named-lock-service.js'
import type { InspectOptions, LockHolder } from '../options.js'
import { lockName } from './exact-name.js'
import { ExitCode, UserError } from './exit-codes.js'
import { age, describeHolder, printable } from './format.js'
import { monotonicNow } from '../util/clock.js'

/** How long the server may take to end a connection. */
const PATIENCE = 5_000

export interface ReleaseFlags extends InspectOptions {
  readonly killHolder: boolean
  readonly yes: boolean
}

/** Ends the connection that holds the lock: the only way to take a named lock from somebody. */
export async function release(
  locks: NamedLockService,
  dataSource: DataSource,
  called: string,
  { killHolder, yes, exactName }: ReleaseFlags,
): Promise<number> {
  const name = lockName(dataSource, called, exactName)
  const holder = await locks.holder(name, { exactName })
  if (!holder) {
    console.log(`Nobody holds '${printable(called)}'.`)
    return ExitCode.ok
  }
  if (!killHolder) {
    throw new UserError(
      `A lock can only be taken from its holder by ending the holder's connection (${describeHolder(holder)}), with everything that it is doing and all other locks that it holds. Say --kill-holder if you mean that.`,
    )
  }
  if (!yes && !(await isAgreed(called, holder))) {
    console.error('Nothing was done.')
    return ExitCode.failed
  }
  // Meanwhile it may have been given back, and taken by somebody whom nobody has asked about.
  const now = await locks.holder(name, { exactName })
  if (now?.connectionId !== holder.connectionId) {
    throw new UserError(`The lock has changed hands meanwhile: nothing was done.`, ExitCode.failed)
  }
  await dataSource.query(dialectFor(dataSource).endConnection(holder.connectionId)).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UserError(
      `Connection ${holder.connectionId} could not be ended: ${reason} (the right for that is CONNECTION_ADMIN; on MariaDB CONNECTION ADMIN, on PostgreSQL pg_signal_backend)`,
      ExitCode.failed,
      { cause: error },
    )
  })
  const end = monotonicNow() + PATIENCE
  while ((await locks.holder(name, { exactName }))?.connectionId === holder.connectionId) {
    if (monotonicNow() > end) {
      throw new UserError(
        `Connection ${holder.connectionId} was told to end, and holds the lock still.`,
        ExitCode.failed,
      )
    }
  }
  console.log(`Ended ${describeHolder(holder)}, which held '${printable(called)}'.`)
  return ExitCode.ok
}

async function isAgreed(name: string, holder: LockHolder): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UserError('There is no terminal to ask on: say --yes.')
  const prompt = createInterface({ input: process.stdin, output: process.stderr })
  const since = holder.since ? `, for ${age(holder.since)}` : ''
  const question = `End ${describeHolder(holder)}, which holds '${printable(name)}'${since}? All other locks and the work of that connection end with it. [y/N] `
  try {
    return /^y(es)?$/i.test((await prompt.question(question)).trim())
  } catch {
    process.stderr.write('\n')
    return false // Ctrl-C, or the end of the input
  } finally {
    prompt.close()
  }
}
