import type { Conformance } from '../support/conformance.js'

/** What a connection out of the application's pool may still have of ours: locks, which the query releases, and the time limit `w` in seconds. */
export function leftOnConnection({ isPostgres }: Conformance): string {
  return isPostgres
    ? `SELECT pg_backend_pid() AS id, (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
         pg_advisory_unlock_all() AS given_back, (SELECT setting::int / 1000 FROM pg_settings WHERE name = 'idle_session_timeout') AS w`
    : 'SELECT CONNECTION_ID() AS id, RELEASE_ALL_LOCKS() AS locks, @@wait_timeout AS w'
}
