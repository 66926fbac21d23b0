import { constants } from 'node:os'
import { ExitCode, ofSignal } from './exit-codes.js'

const failed = new AbortController()

/** Aborted when what is printed can not be written any more: the reader has gone (`| head`), or the disk is full. */
export const outputFailed: AbortSignal = failed.signal

/** Keeps a stream that can not be written to from ending the program, which may hold a lock or be half through a migration. */
export function watchOutput(): void {
  process.stdout.on('error', (error) => failed.abort(error))
  process.stderr.on('error', () => {}) // where should that be told?
}

/** Ends the program once everything is written: what waits in a pipe's buffer would be lost with the process. */
export async function exit(): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => stream.write('', () => resolve()))
  }
  const { reason } = outputFailed as { reason?: NodeJS.ErrnoException }
  if (reason && !process.exitCode) {
    const hasReaderGone = reason.code === 'EPIPE'
    // As a program that does not catch the signal.
    process.exitCode = hasReaderGone ? ofSignal('SIGPIPE', constants.signals) : ExitCode.failed
    if (!hasReaderGone) process.stderr.write(`named-lock: the output could not be written: ${reason.message}\n`)
  }
  process.exit()
}

/** Lets an application's own module say what it likes (dotenv does) without spoiling what is printed for a program to read. */
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
