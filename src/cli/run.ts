import type { NamedLock } from '../scope/named-lock.js'
import { doneOf, type NamedLockService } from '../service/named-lock-service.js'
import { acquireUnlessEnded, type WaitFlags } from './acquire-unless-ended.js'
import { Command } from './command.js'
import { ExitCode, UserError } from './exit-codes.js'
import { printable } from './format.js'
import { lockVariables } from './lock-variables.js'
import { ENDING, FORWARDED, onSignals } from './signals.js'
import { monotonicNow, sleep } from '../util/clock.js'

export interface RunFlags extends WaitFlags {
  readonly onBusy: 'fail' | 'skip'
  readonly holdAtLeast: number
  readonly killAfter: number
  /** The command is done once it has ended with 0. */
  readonly once?: boolean
  /** With `once`: how long that counts, in milliseconds. */
  readonly every?: number
}

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
  const lock = await acquireUnlessEnded(locks, name, flags).catch((error: unknown) => {
    if (flags.onBusy === 'skip' && error instanceof UserError && error.exitCode === ExitCode.busy) return ExitCode.ok
    throw error
  })
  if (typeof lock === 'number') return lock
  try {
    // It may have been done during the wait.
    if (await isDone(locks, name, flags)) return ExitCode.ok
    const ended = async (code: number): Promise<void> => {
      if (flags.once && code === ExitCode.ok) await doneOf(locks).write(name, flags.exactName === true)
    }
    return await runUnder(lock, command, flags, ended)
  } finally {
    await lock.release()
  }
}

async function isDone(locks: NamedLockService, name: string, flags: RunFlags): Promise<boolean> {
  if (!flags.once) return false
  const doneAt = await doneOf(locks).at(name, flags.every ?? Infinity, flags.exactName === true)
  if (doneAt) process.stderr.write(`named-lock: '${printable(name)}' is done, since ${doneAt.toISOString()}.\n`)
  return doneAt !== undefined
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
  let isInterrupted = false
  const forget = onSignals(FORWARDED, (signal) => {
    isInterrupted ||= ENDING.includes(signal)
    forward(signal)
  })
  const command = new Command(words, lockVariables(lock, token))
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
  if (!isInterrupted) await holdUntil(endOfHold, lock.signal)
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
