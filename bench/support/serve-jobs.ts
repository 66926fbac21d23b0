import type { JobCall, JobResult } from './worker-messages.js'

/** The jobs of a worker process, by name. Arguments and results must be cloneable. */
export type Jobs = Readonly<Record<string, (argument: any) => unknown>>

/** Must be called once by the main file of a worker process. */
export function serveJobs(jobs: Jobs): void {
  process.on('message', (message) => void answer(jobs, message as JobCall))
  process.once('disconnect', () => process.exit()) // the process that started this one is gone
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
