/** An error that the user can fix: printed as its message, without a stack trace. */
export class UserError extends Error {}

/** The text printed for an error. */
export function explain(error: unknown): string {
  if (error instanceof UserError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
