/** The exit codes of the command, taken from sysexits.h where it defines one. */
export const ExitCode = {
  ok: 0,
  failed: 1,
  usage: 64,
  unavailable: 69,
  /** Another holder has the lock (EX_TEMPFAIL: try again later). */
  busy: 75,
  configuration: 78,
  /** The lock was lost while the command ran: it may not have been alone. */
  lost: 79,
  notExecutable: 126,
  notFound: 127,
} as const

/** The exit code that a shell reports for a command ended by a signal. */
export function ofSignal(signal: NodeJS.Signals, numbers: Readonly<Record<string, number>>): number {
  return 128 + (numbers[signal] ?? 0)
}

/** A mistake in the call: the message says everything, so no stack trace is printed. */
export class UserError extends Error {
  constructor(
    message: string,
    readonly exitCode: number = ExitCode.usage,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}
