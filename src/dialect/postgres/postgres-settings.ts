/** What a session sets, and how it is as before afterwards. */
export interface Setting {
  readonly name: string
  /** The server's version that first has it. */
  readonly since: number
  readonly isLease: boolean
  /** Its place among those that are read. */
  readonly at: number
}

export const SETTINGS: readonly Setting[] = [
  { name: 'idle_in_transaction_session_timeout', since: 90_600, isLease: true, at: 0 },
  { name: 'idle_session_timeout', since: 140_000, isLease: true, at: 1 },
  { name: 'statement_timeout', since: 0, isLease: false, at: 2 },
  { name: 'lock_timeout', since: 0, isLease: false, at: 3 },
  // It ends the connection, also while one statement waits for long.
  { name: 'transaction_timeout', since: 170_000, isLease: false, at: 4 },
]

export const NAMES = SETTINGS.map(({ name }) => `'${name}'`).join(',')

/**
 * A value that a SET of this session made is set again. Any other comes from the server, the role or the client, and is RESET: a SET
 * to the same value would make it the session's own, so that it no longer follows a reload of the configuration.
 *
 * @param own The settings that were the session's own before.
 */
export function restoreSetting(name: string, before: string | undefined, own: readonly string[]): string {
  return own.includes(name) ? `SET ${name}='${before}'` : `RESET ${name}`
}
