import { fstatSync } from 'node:fs'
import type { NamedLock } from '../scope/named-lock.js'
import type { NamedLockService } from '../service/named-lock-service.js'
import { inspectorOf } from '../service/named-lock-service.js'
import { acquireUnlessEnded, type WaitFlags } from './acquire-unless-ended.js'
import { ExitCode } from './exit-codes.js'
import { lockVariables, shellLine } from './lock-variables.js'
import { outputFailed } from './output.js'
import { ENDING, onSignals } from './signals.js'

export interface HoldFlags extends WaitFlags {
  readonly json?: boolean
}

/** Acquires the lock, prints one line about it, and holds it until a signal or the end of stdin. Resolves to the exit code. */
export async function hold(locks: NamedLockService, name: string, flags: HoldFlags): Promise<number> {
  const lock = await acquireUnlessEnded(locks, name, flags)
  if (typeof lock === 'number') return lock
  try {
    const ending = new AbortController()
    const forget = onSignals(ENDING, () => ending.abort())
    if (isPipe(0)) whenStdinEnds(() => ending.abort())
    const token = await lock.fencingToken()
    process.stdout.write(
      `${flags.json ? jsonLine(locks, lock, token, flags) : shellLine(lockVariables(lock, token))}\n`,
    )
    await whenAborted(AbortSignal.any([ending.signal, outputFailed, lock.signal]))
    forget()
    // A changed date makes `isHeld` false without a loss, so the server decides.
    if (!lock.signal.aborted && (lock.isHeld || (await lock.verify()))) return ExitCode.ok
    const { reason } = lock.signal as { reason?: unknown }
    process.stderr.write(`named-lock: ${reason instanceof Error ? reason.message : `Lock '${name}' was lost.`}\n`)
    return ExitCode.lost
  } finally {
    await lock.release()
  }
}

function jsonLine(locks: NamedLockService, lock: NamedLock, token: bigint, { exactName }: WaitFlags): string {
  const namespace = exactName ? false : inspectorOf(locks).namespace
  const { name, key, permit } = lock
  return JSON.stringify({ namespace, name, key, fencingToken: String(token), permit })
}

/**
 * Whether stdin is a pipe or a socket. Only their end is a request to release the lock: stdin of a service or of a background job
 * is often /dev/null, and a background job that reads from its terminal is stopped.
 */
function isPipe(descriptor: number): boolean {
  try {
    const stats = fstatSync(descriptor)
    return stats.isFIFO() || stats.isSocket()
  } catch {
    return false // it is closed
  }
}

function whenStdinEnds(listener: () => void): void {
  process.stdin.once('end', listener).once('error', listener).resume()
}

function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
