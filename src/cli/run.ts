import { constants } from 'node:os'
import type { NamedLock } from '../scope/named-lock.js'
import { NamedLockTimeoutError } from '../contract/errors.js'
import { doneOf, inspectorOf, type NamedLockService } from '../service/named-lock-service.js'
import type { InspectOptions, LockMode, LockName } from '../contract/options.js'
import { Command } from './command.js'
import { ExitCode, ofSignal, UserError } from './exit-codes.js'
import { age, describeHolder, printable } from './format.js'
import { elsewhereText, labelOf, Namespaces } from './namespaces.js'
import { ENDING, FORWARDED, Interrupted, onSignals } from './signals.js'
import { StatusLine } from './terminal.js'
import { monotonicNow, sleep, wallNow } from '../util/clock.js'

export interface RunFlags {
  readonly timeout: number
  readonly onBusy: 'fail' | 'skip'
  readonly holdAtLeast: number
  readonly killAfter: number
  readonly exactName: boolean
  readonly mode?: LockMode
  /** The command is done once it has ended with 0. */
  readonly once?: boolean
  /** With `once`: how long that counts, in milliseconds. */
  readonly every?: number
  readonly permits?: number
}

/** How often the terminal's status line is updated with the holder. */
const ASK_EVERY = 1_000
/** How long the start of a command waits for the warning about the same name in another namespace. */
const MOST_LOOKING = 1_000

/** Runs a command while the lock is held. Resolves to the exit code. */
export async function run(
  locks: NamedLockService,
  name: string,
  command: readonly string[],
  flags: RunFlags,
): Promise<number> {
  if (command[0] === '') throw new UserError('The command is empty.')
  if (flags.every !== undefined && !flags.once) throw new UserError('--every needs --once.')
  if (flags.once && (flags.mode || flags.permits))
    throw new UserError('--once is for a lock without --mode and --permits.')
  if (await isDone(locks, name, flags)) return ExitCode.ok
  let lock: NamedLock
  try {
    // In parallel with the wait, and printed before the command begins: with a wrong namespace it is not alone.
    const warned = flags.exactName ? undefined : warnOfOthers(locks, name)
    // When the lock times out first, the service closes during the lookup, which then rejects.
    warned?.catch(() => undefined)
    lock = await acquire(locks, name, flags)
    await warned
  } catch (error) {
    if (error instanceof Interrupted) return ofSignal(error.signal, constants.signals)
    if (!(error instanceof NamedLockTimeoutError)) throw error
    if (flags.onBusy === 'skip') return ExitCode.ok
    const where = flags.exactName ? '' : ` (${labelOf(inspectorOf(locks).namespace)})`
    throw new UserError(`${error.message}${where}`, ExitCode.busy)
  }
  try {
    // It may have been done during the wait.
    if (await isDone(locks, name, flags)) return ExitCode.ok
    const ended = async (code: number): Promise<void> => {
      if (flags.once && code === ExitCode.ok) await doneOf(locks).write(name, flags.exactName)
    }
    return await runUnder(lock, command, flags, ended)
  } finally {
    await lock.release()
  }
}

async function isDone(locks: NamedLockService, name: string, flags: RunFlags): Promise<boolean> {
  if (!flags.once) return false
  const doneAt = await doneOf(locks).at(name, flags.every ?? Infinity, flags.exactName)
  if (doneAt) process.stderr.write(`named-lock: '${printable(name)}' is done, since ${doneAt.toISOString()}.\n`)
  return doneAt !== undefined
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

async function acquire(locks: NamedLockService, name: LockName, flags: RunFlags): Promise<NamedLock> {
  const ending = new AbortController()
  const forget = onSignals(ENDING, (signal) => ending.abort(new Interrupted(signal)))
  const status = new StatusLine(process.stderr)
  const { exactName, mode, permits, timeout } = flags
  const told = new AbortController()
  const telling =
    status.isUseful && timeout > 0 ? tell(locks, name, status, told.signal, { exactName, permits }) : undefined
  try {
    return await locks.acquire(name, { timeout, exactName, mode, permits, signal: ending.signal })
  } finally {
    told.abort()
    await telling
    status.clear()
    forget()
  }
}

/** Shows the holder of the lock on the terminal during the wait. */
async function tell(
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

/** @param ended Called with the exit code of the command while the lock is held: before the hold, in which the machine may die. */
async function runUnder(
  lock: NamedLock,
  words: readonly string[],
  flags: RunFlags,
  ended: (code: number) => Promise<void>,
): Promise<number> {
  const endOfHold = monotonicNow() + flags.holdAtLeast
  const token = await lock.fencingToken()
  // Signals that arrive before the command's constructor returns; its process may already be running.
  const early: NodeJS.Signals[] = []
  let forward = (signal: NodeJS.Signals): unknown => early.push(signal)
  let isToldToEnd = false
  const forget = onSignals(FORWARDED, (signal) => {
    isToldToEnd ||= ENDING.includes(signal)
    forward(signal)
  })
  const command = new Command(words, {
    NAMED_LOCK_NAME: lock.name,
    NAMED_LOCK_KEY: lock.key,
    NAMED_LOCK_FENCING_TOKEN: String(token),
    ...(lock.permit !== undefined && { NAMED_LOCK_PERMIT: String(lock.permit) }),
  })
  forward = (signal) => command.forward(signal)
  for (const signal of early) forward(signal)
  const onLost = (): void => {
    process.stderr.write(
      `named-lock: ${String((lock.signal.reason as Error).message)} Sending SIGTERM to the command.\n`,
    )
    command.end(flags.killAfter)
  }
  if (lock.signal.aborted) onLost()
  else lock.signal.addEventListener('abort', onLost, { once: true })
  let code: number
  try {
    code = await command.ended
  } finally {
    forget()
    lock.signal.removeEventListener('abort', onLost)
  }
  // A changed date makes `isHeld` false without a loss, so the server decides.
  if (!lock.isHeld && !(await lock.verify())) return ExitCode.lost
  await ended(code)
  if (!isToldToEnd) await holdUntil(endOfHold, lock.signal)
  return code
}

/**
 * Waits until the end of `--hold-at-least`, so that machines with skewed clocks do not run a job one after the other. A
 * signal ends the wait at once.
 */
async function holdUntil(end: number, lost: AbortSignal): Promise<void> {
  const ending = new AbortController()
  const forget = onSignals(ENDING, () => ending.abort())
  const signal = AbortSignal.any([ending.signal, lost])
  await sleep(Math.max(0, end - monotonicNow()), undefined, { signal }).catch(() => undefined)
  forget()
}
