import { constants } from 'node:os'
import { NamedLockTimeoutError } from '../contract/errors.js'
import type { InspectOptions, LockMode, LockName } from '../contract/options.js'
import type { NamedLock } from '../scope/named-lock.js'
import { inspectorOf, type NamedLockService } from '../service/named-lock-service.js'
import { ExitCode, ofSignal, UserError } from './exit-codes.js'
import { age, describeHolder, printable } from './format.js'
import { elsewhereText, labelOf, Namespaces } from './namespaces.js'
import { ENDING, Interrupted, onSignals } from './signals.js'
import { StatusLine } from './terminal.js'
import { sleep, wallNow } from '../util/clock.js'

/* How `run` and `hold` acquire their lock: a signal ends the wait, and a terminal shows the holder. */

export interface WaitFlags {
  readonly timeout: number
  readonly exactName?: boolean
  readonly mode?: LockMode
  readonly permits?: number
}

/** How often the terminal's status line is updated with the holder. */
const ASK_EVERY = 1_000
/** How long the start of a command waits for the warning about the same name in another namespace. */
const MOST_LOOKING = 1_000

/** Acquires the lock. Resolves to the exit code instead if a signal arrives first. */
export async function acquireUnlessEnded(
  locks: NamedLockService,
  name: string,
  flags: WaitFlags,
): Promise<NamedLock | number> {
  try {
    // In parallel with the wait, and printed before the command begins: with a wrong namespace it is not alone.
    const warned = flags.exactName ? undefined : warnOfOthers(locks, name)
    // When the lock times out first, the service closes during the lookup, which then rejects.
    warned?.catch(() => undefined)
    const lock = await acquire(locks, name, flags)
    await warned
    return lock
  } catch (error) {
    if (error instanceof Interrupted) return ofSignal(error.signal, constants.signals)
    if (!(error instanceof NamedLockTimeoutError)) throw error
    const where = flags.exactName ? '' : ` (${labelOf(inspectorOf(locks).namespace)})`
    throw new UserError(`${error.message}${where}`, ExitCode.busy)
  }
}

/** The same name in another namespace is another lock, so its commands run at the same time as this one. */
async function warnOfOthers(locks: NamedLockService, name: string): Promise<void> {
  const looking = Namespaces.look(locks)
  const namespaces = await Promise.race([looking, sleep(MOST_LOOKING, undefined, { ref: false })])
  const elsewhere = namespaces?.elsewhere(name) ?? []
  if (namespaces === undefined || elsewhere.length === 0) return
  process.stderr.write(
    `named-lock: warning: running under ${labelOf(namespaces.own)}. ${elsewhereText(name, elsewhere)}\n`,
  )
}

async function acquire(locks: NamedLockService, name: LockName, flags: WaitFlags): Promise<NamedLock> {
  const ending = new AbortController()
  const forget = onSignals(ENDING, (signal) => ending.abort(new Interrupted(signal)))
  const status = new StatusLine(process.stderr)
  const { exactName, mode, permits, timeout } = flags
  const waited = new AbortController()
  const showing =
    status.isUseful && timeout > 0 ? showHolder(locks, name, status, waited.signal, { exactName, permits }) : undefined
  try {
    return await locks.acquire(name, { timeout, exactName, mode, permits, signal: ending.signal })
  } finally {
    waited.abort()
    await showing
    status.clear()
    forget()
  }
}

/** Shows the holder of the lock on the terminal during the wait. */
async function showHolder(
  locks: NamedLockService,
  name: LockName,
  status: StatusLine,
  until: AbortSignal,
  options: InspectOptions,
): Promise<void> {
  const startedAt = new Date(wallNow())
  const pause = (): Promise<unknown> => sleep(ASK_EVERY, undefined, { signal: until }).catch(() => undefined)
  // A lock that comes soon is not worth a word.
  await sleep(200, undefined, { signal: until }).catch(() => undefined)
  for (; !until.aborted; await pause()) {
    const holder = await locks.holder(name, options).catch(() => null)
    if (until.aborted) return
    const since = holder?.since ? `for ${age(holder.since)} ` : ''
    const who = holder
      ? `held ${since}by ${describeHolder(holder)}${holder.mode === 'read' ? ', which reads' : ''}`
      : 'no holder right now'
    status.show(`Waiting for '${printable(String(name))}' since ${age(startedAt)}: ${who}`)
  }
}
