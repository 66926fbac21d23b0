import { constants } from 'node:os'
import { ExitCode, ofSignal } from './exit-codes.js'

const failed = new AbortController()

/** Aborted when the output can no longer be written: the reader is gone (`| head`), or the disk is full. */
export const outputFailed: AbortSignal = failed.signal

/** Prevents a broken stream from ending the program, which may hold a lock or be in the middle of a migration. */
export function watchOutput(): void {
  process.stdout.on('error', (error) => failed.abort(error))
  process.stderr.on('error', () => {}) // there is no stream left to report it on
}

/** Exits once everything is written: data in a pipe's buffer would be lost with the process. */
export async function exit(): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => stream.write('', () => resolve()))
  }
  const { reason } = outputFailed as { reason?: NodeJS.ErrnoException }
  if (reason && !process.exitCode) {
    const hasReaderGone = reason.code === 'EPIPE'
    // The exit code of a program that does not catch SIGPIPE.
    process.exitCode = hasReaderGone ? ofSignal('SIGPIPE', constants.signals) : ExitCode.failed
    if (!hasReaderGone) process.stderr.write(`named-lock: the output could not be written: ${reason.message}\n`)
  }
  process.exit()
}

/**
 * Redirects output of the application's module (dotenv prints some) to stderr, so that stdout stays readable for
 * programs.
 */
export async function withOutputOnStderr<T>(work: () => Promise<T>): Promise<T> {
  const { stdout, stderr } = process
  // eslint-disable-next-line @typescript-eslint/unbound-method -- put back as it was
  const { write } = stdout
  stdout.write = stderr.write.bind(stderr)
  try {
    return await work()
  } finally {
    stdout.write = write
  }
}
