/** Something that the person at the keyboard can put right: shown as its message, without a stack trace. */
export class UserError extends Error {}

/** What to print for an error. */
export function explain(error: unknown): string {
  if (error instanceof UserError) return error.message
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
