/** What a session sets, and how it is as before afterwards. */
export interface Setting {
  readonly name: string
  /** The server's version that first has it. */
  readonly since: number
  readonly isLease: boolean
  /** Also where the application's work runs on the session, whose limits for statements stay. */
  readonly isForWork?: boolean
  /** The value in milliseconds; left out for a lease and for no limit. */
  readonly value?: number
  /** Servers on other systems refuse it. */
  readonly isForLinux?: boolean
  /** Its place among those that are read. */
  readonly at: number
}

const SETTINGS: readonly Setting[] = [
  { name: 'idle_in_transaction_session_timeout', since: 90_600, isLease: true, at: 0 },
  { name: 'idle_session_timeout', since: 140_000, isLease: true, at: 1 },
  { name: 'statement_timeout', since: 0, isLease: false, at: 2 },
  { name: 'lock_timeout', since: 0, isLease: false, at: 3 },
  // It ends the connection, also while one statement waits for long.
  { name: 'transaction_timeout', since: 170_000, isLease: false, at: 4 },
  // A backend that blocks for a lock does not notice that its client is dead. A dead writer's would keep readers out until its slice ends.
  {
    name: 'client_connection_check_interval',
    since: 140_000,
    isLease: false,
    isForWork: true,
    value: 500,
    isForLinux: true,
    at: 5,
  },
]

/** The settings that a session of that server has. */
export function settingsFor(version: string, number: number, isForLocks: boolean): readonly Setting[] {
  const isLinux = /linux/i.test(version)
  return SETTINGS.filter(
    ({ since, isLease, isForWork, isForLinux }) =>
      number >= since && (isLinux || !isForLinux) && (isForLocks || isLease || isForWork),
  )
}

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
