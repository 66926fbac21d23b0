import type { Finding } from '../../contract/lock-info.js'
import { singleRow, type RawConnection } from '../../typeorm/raw-connection.js'
import type { ServerFacts, SessionUse } from '../dialect.js'
import { refuseEngine } from '../engines.js'
import type { Ask } from '../../typeorm/raw-connection.js'
import { POOLED_PG_POOL } from './pg-pool.js'
import type { PgClient } from './pg-wire.js'
import { PostgresDialect } from './postgres.js'
import { checkPooledPostgres } from './postgres-check.js'
import { FLUSHES_MESSAGES, serverLeaseMs, serverOf, VERSION_TEXT } from './postgres-session.js'

/** See postgres-settings.ts; for the transaction. */
const NOTICES_DEAD_CLIENTS =
  "CASE WHEN pg_catalog.current_setting('client_connection_check_interval',true) IS NOT NULL AND pg_catalog.version() ILIKE '%linux%' " +
  "THEN pg_catalog.set_config('client_connection_check_interval','500',true) END"

/**
 * PostgreSQL behind a pooler that pools transactions: locks that live and end with a transaction
 * (`pg_advisory_xact_lock`), and no setting that outlives it. A literal that begins with `x` stands for such a lock.
 */
export class PooledPostgresDialect extends PostgresDialect {
  readonly endsWithTransaction = true
  override readonly pool = POOLED_PG_POOL

  override literal(key: string): string {
    return `x${key}`
  }

  override sharedLiteral = (literal: string): string => `xs${literal.slice(1)}`

  /** In a transaction that has just begun, or that is the application's. All in one statement, which is a round trip before the lock. */
  override async open(ask: Ask, leaseMs: number, use: SessionUse): Promise<ServerFacts> {
    const milliseconds = serverLeaseMs(leaseMs)
    const [id, version = '', startedAt, user, host, database, port, isolation, number] = singleRow(
      await ask(
        `SELECT pg_catalog.pg_backend_pid(),${VERSION_TEXT},extract(epoch FROM pg_catalog.pg_postmaster_start_time())::text,` +
          'session_user::text,pg_catalog.host(pg_catalog.inet_client_addr()),pg_catalog.current_database()::text,pg_catalog.inet_server_port(),' +
          `pg_catalog.current_setting('transaction_isolation'),pg_catalog.current_setting('server_version_num'),pg_catalog.set_config('idle_in_transaction_session_timeout','${milliseconds}',true),` +
          NOTICES_DEAD_CLIENTS,
      ),
    )
    refuseEngine('postgres', version)
    return {
      connectionId: id ?? '',
      identity: serverOf(port, startedAt),
      startedAt: Number(startedAt),
      user,
      host,
      database,
      isolation,
      losesTokens: Number(number) < FLUSHES_MESSAGES,
      // What was set ends with the transaction; one that is the library's own must not go back to the pool.
      restore: use === 'begun' ? 'ROLLBACK' : '',
      lease: leaseMs,
    }
  }

  /**
   * Under REPEATABLE READ and above the snapshot is that of the statement that asked for the lock, from before it was granted.
   * COMMIT AND CHAIN begins the next transaction without letting the pooler have the connection, and a lock of the session
   * bridges the two. It is one message, and after an error in it the connection is in a transaction still.
   */
  renewSnapshot(literals: readonly string[], leaseMs: number): string {
    const locks = literals.map((literal) => /^x(s?)(.*)$/.exec(literal) as unknown as readonly string[])
    const all = (call: string): string =>
      locks.map(([, shared, key]) => `${call}${shared === '' ? '' : '_shared'}(${key})`).join(',')
    return (
      `SELECT ${all('pg_catalog.pg_advisory_lock')};COMMIT AND CHAIN;SELECT ${all('pg_catalog.pg_advisory_xact_lock')},${all('pg_catalog.pg_advisory_unlock')},` +
      `set_config('idle_in_transaction_session_timeout','${serverLeaseMs(leaseMs)}',true)`
    )
  }

  override check(ask: Ask, _leaseMs: number, connection: RawConnection): Promise<Finding[]> {
    return checkPooledPostgres(ask, connection as unknown as PgClient)
  }
}
