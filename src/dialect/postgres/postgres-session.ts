import { singleRow, singleValue, type Ask } from '../../typeorm/raw-connection.js'
import type { ServerFacts, SessionUse } from '../dialect.js'
import { refuseEngine } from '../engines.js'
import { serverLeaseSeconds } from '../server-lease.js'
import { refuseTransactionPooling } from './pg-pooler.js'
import type { PgClient } from './pg-wire.js'
import { BATCH_STATEMENT, PREPARED } from './postgres-expressions.js'
import { NAMES, restoreSetting, settingsFor } from './postgres-settings.js'

/** Makes a connection a session: the lease is its idle_session_timeout, and in a transaction its idle_in_transaction_session_timeout. */
export async function openPostgresSession(
  ask: Ask,
  leaseMs: number,
  use: SessionUse,
  connection: PgClient,
): Promise<ServerFacts> {
  const [id, version = '', number, startedAt, user, host, database, port, own = '', ...before] = singleRow(
    await askForFacts(
      ask,
      `SELECT pg_catalog.pg_backend_pid(),${VERSION_TEXT},` +
        "pg_catalog.current_setting('server_version_num'),extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text," +
        'session_user::text,pg_catalog.host(pg_catalog.inet_client_addr()),pg_catalog.current_database()::text,pg_catalog.inet_server_port(),' +
        `(SELECT pg_catalog.string_agg(name,',') FROM pg_catalog.pg_settings WHERE source='session' AND name IN (${NAMES})),` +
        "pg_catalog.current_setting('idle_in_transaction_session_timeout'),pg_catalog.current_setting('idle_session_timeout',true)," +
        "pg_catalog.current_setting('statement_timeout'),pg_catalog.current_setting('lock_timeout')," +
        "pg_catalog.current_setting('transaction_timeout',true),pg_catalog.current_setting('client_connection_check_interval',true)",
    ),
  )
  refuseEngine('postgres', version)
  await refuseTransactionPooling(connection, id, use === 'transaction' ? undefined : ask)
  const milliseconds = serverLeaseMs(leaseMs)
  const isForLocks = use === 'locks' || use === 'probe'
  const settings = settingsFor(version, Number(number), isForLocks)
  await ask(
    [
      ...settings.map(({ name, isLease, value = 0 }) => `SET ${name}=${isLease ? milliseconds : value}`),
      ...(isForLocks ? [BATCH_STATEMENT] : []),
    ].join(';'),
  )
  // Read back in a statement of its own: a pooler may have sent this one to another connection.
  const [sameId, idle, idleInTransaction] = singleRow(
    await ask(
      "SELECT pg_catalog.pg_backend_pid(),(SELECT setting FROM pg_catalog.pg_settings WHERE name='idle_session_timeout')," +
        "(SELECT setting FROM pg_catalog.pg_settings WHERE name='idle_in_transaction_session_timeout')",
    ),
  )
  const kept = use === 'transaction' ? idleInTransaction : idle
  return {
    connectionId: id ?? '',
    identity: serverOf(port, startedAt),
    startedAt: Number(startedAt),
    user,
    host,
    database,
    losesTokens: Number(number) < FLUSHES_MESSAGES,
    restore: [
      ...settings.map(({ name, at }) => restoreSetting(name, before[at], own.split(','))),
      ...(isForLocks ? [`DEALLOCATE ${PREPARED}`] : []),
    ].join(';'),
    lease: sameId === id && Number(kept) === milliseconds ? leaseMs : undefined,
  }
}

/** A text that differs from server to server. */
export function serverOf(port: string | undefined, startedAt: string | undefined): string {
  return `the one on port ${port ?? '(local)'} that was started at ${startedAt}`
}

/** The first version in which the record of a fencing token can be flushed before its transaction ends. */
export const FLUSHES_MESSAGES = 170_000

export function serverLeaseMs(leaseMs: number): number {
  return serverLeaseSeconds(leaseMs) * 1000
}

/** What kind of server it is. YugabyteDB has a setting with which its lock functions do nothing. */
export const VERSION_TEXT =
  "pg_catalog.version()||CASE WHEN pg_catalog.current_setting('yb_silence_advisory_locks_not_supported_error',true)='on' " +
  "THEN ' yb_silence_advisory_locks_not_supported_error' ELSE '' END"

/**
 * The first question to a server. One that only speaks PostgreSQL's protocol may refuse it for a function that it does not have, and then
 * its version says more.
 */
async function askForFacts(ask: Ask, sql: string): Promise<unknown> {
  try {
    return await ask(sql)
  } catch (error) {
    if ((error as { severity?: unknown }).severity === undefined) throw error
    const version = await ask('SELECT pg_catalog.version()').catch(() => undefined)
    refuseEngine('postgres', singleValue(version) ?? '')
    throw error
  }
}
