import type { JobCall, JobResult } from './worker-messages.js'

/** Jobs of a worker process, by name. What goes in and out must be cloneable. */
export type Jobs = Readonly<Record<string, (argument: any) => unknown>>

/** To be called once by the file that a worker process runs. */
export function serveJobs(jobs: Jobs): void {
  process.on('message', (message) => void answer(jobs, message as JobCall))
  process.once('disconnect', () => process.exit()) // whoever started us is gone
}

async function answer(jobs: Jobs, { id, job, argument }: JobCall): Promise<void> {
  let result: JobResult
  try {
    result = { id, value: await jobs[job]!(argument) }
  } catch (error) {
    result = { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
  }
  process.send!(result)
}
