/** What the command ends with, after sysexits.h where it has a word for it. */
export const ExitCode = {
  ok: 0,
  failed: 1,
  usage: 64,
  unavailable: 69,
  /** Somebody else has the lock (EX_TEMPFAIL: try again later). */
  busy: 75,
  configuration: 78,
  /** The lock was lost while the command ran: it may not have been alone. */
  lost: 79,
  notExecutable: 126,
  notFound: 127,
} as const

/** As a shell reports a command that a signal has ended. */
export function ofSignal(signal: NodeJS.Signals, numbers: Readonly<Record<string, number>>): number {
  return 128 + (numbers[signal] ?? 0)
}

/** A mistake of the user's: the message is all that is to be said. */
export class UserError extends Error {
  constructor(
    message: string,
    readonly exitCode: number = ExitCode.usage,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}
