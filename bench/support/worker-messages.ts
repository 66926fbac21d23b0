/** A call of a job in a worker process, and what comes back. */
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
