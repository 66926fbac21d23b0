/** The messages of a worker process: the call of a job, and its result. */
export interface JobCall {
  readonly id: number
  readonly job: string
  readonly argument: unknown
}

export interface JobResult {
  readonly id: number
  readonly value?: unknown
  readonly error?: string
}
