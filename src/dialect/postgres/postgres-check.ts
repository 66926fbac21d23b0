import type { Finding } from '../../contract/lock-info.js'
import { singleRow, singleValue } from '../../typeorm/raw-connection.js'
import type { Ask } from '../../typeorm/raw-connection.js'
import { engineFinding } from '../engines.js'
import { poolingOf } from './pg-pooler.js'
import type { PgClient } from './pg-wire.js'
import { VERSION_TEXT } from './postgres-session.js'
import { restoreSetting } from './postgres-settings.js'

type Check = Finding | undefined

/** What is wrong with the PostgreSQL behind `ask`, where it is the home of named locks. */
export async function checkPostgres(ask: Ask, lease: number, client: PgClient): Promise<Finding[]> {
  const engine = await checkEngine(ask)
  if (engine?.severity === 'error') return [engine]
  const multiplexes = await checkOneConnection(ask, client)
  const findings = [
    engine,
    multiplexes,
    await checkStandby(ask),
    // What is set on a connection that others use next stays there.
    multiplexes ? undefined : await checkLease(ask, lease),
    await checkLockTable(ask),
    await checkSignals(ask),
  ]
  return findings.filter((finding) => finding !== undefined)
}

/** The same for locks that end with a transaction, where statements may well run on different connections. */
export async function checkPooledPostgres(ask: Ask, client: PgClient): Promise<Finding[]> {
  const engine = await checkEngine(ask)
  if (engine?.severity === 'error') return [engine]
  const findings = [
    engine,
    await checkStandby(ask),
    await checkLockTable(ask),
    await checkSignals(ask),
    await checkTransactions(ask, client),
  ]
  return findings.filter((finding) => finding !== undefined)
}

async function checkEngine(ask: Ask): Promise<Check> {
  return engineFinding('postgres', singleValue(await ask(`SELECT ${VERSION_TEXT}`)) ?? '')
}

/** The last of all: PgBouncer's answer with statement pooling is to end the connection. */
async function checkTransactions(ask: Ask, client: PgClient): Promise<Check> {
  try {
    await ask('BEGIN')
    await ask('ROLLBACK')
  } catch (error) {
    return {
      code: 'POOLER_REFUSES_TRANSACTIONS',
      severity: 'error',
      message: `No transaction could be begun (${error instanceof Error ? error.message : String(error)}): locks live in one here.`,
      remedy: 'Use transaction pooling instead of statement pooling.',
    }
  }
  const backend = singleValue(await ask('SELECT pg_catalog.pg_backend_pid()'))
  if ((await poolingOf(client, backend, ask)) === 'transaction') return undefined
  return {
    code: 'POOLING_NOT_NEEDED',
    severity: 'info',
    message:
      "pooling: 'transaction' is set, and nothing between the application and PostgreSQL pools transactions: withLock, acquire and the like are refused for nothing.",
    remedy: 'Leave the option out.',
  }
}

async function checkOneConnection(ask: Ask, client: PgClient): Promise<Check> {
  const backend = singleValue(await ask('SELECT pg_catalog.pg_backend_pid()'))
  if ((await poolingOf(client, backend, ask)) !== 'transaction') return undefined
  return {
    code: 'PROXY_MULTIPLEXES',
    severity: 'error',
    message:
      'Statements of one client arrive on different connections of the server: a pooler in between (such as PgBouncer) pools transactions or ' +
      'statements, and a lock would belong to the next client of its connection. Locks are refused for it.',
    remedy:
      "Connect past the pooler, or use session pooling; or pooling: 'transaction', where locks that live and end with a transaction are enough.",
  }
}

async function checkStandby(ask: Ask): Promise<Check> {
  if (singleValue(await ask('SELECT pg_catalog.pg_is_in_recovery()::int')) !== '1') return undefined
  return {
    code: 'SERVER_READ_ONLY',
    severity: 'error',
    message:
      'The server is a hot standby. Advisory locks are not replicated: callers on the primary are not excluded by locks here.',
    remedy: "Point the DataSource (with replication: its master) at the primary's address.",
  }
}

/** Sets the timeout that makes the lease, and looks whether the server has it. */
async function checkLease(ask: Ask, lease: number): Promise<Check> {
  const [before, source] = singleRow(
    await ask(
      "SELECT pg_catalog.current_setting('idle_session_timeout',true),(SELECT source FROM pg_catalog.pg_settings WHERE name='idle_session_timeout')",
    ),
  )
  const wanted = String(Math.ceil(lease / 1000) * 1000 + 1)
  let after: string | undefined
  if (before !== undefined) {
    await ask(`SET idle_session_timeout=${wanted}`)
    after = singleValue(await ask("SELECT setting FROM pg_catalog.pg_settings WHERE name='idle_session_timeout'"))
    await ask(restoreSetting('idle_session_timeout', before, source === 'session' ? ['idle_session_timeout'] : []))
  }
  if (after === wanted) return undefined
  return {
    code: 'LEASE_NOT_KEPT',
    severity: 'error',
    message:
      before === undefined
        ? 'The server has no idle_session_timeout (PostgreSQL before 14): it keeps the locks of a vanished client until TCP keepalive gives the connection up, 2 hours by default.'
        : `SET idle_session_timeout had no effect (${wanted} was set, ${after} is in force): a pooler may have swallowed it. The server would keep the locks of a vanished client.`,
    remedy:
      'Use PostgreSQL 14 or later and connect past the pooler; or lower tcp_keepalives_idle on the server to what your locks can bear, and accept that with allowNoLease: true.',
  }
}

/** The table is of fixed size and shared by all users: row locks of tables are in it, too. */
async function checkLockTable(ask: Ask): Promise<Check> {
  const [perTransaction, connections, prepared] = singleRow(
    await ask(
      "SELECT pg_catalog.current_setting('max_locks_per_transaction'),pg_catalog.current_setting('max_connections'),pg_catalog.current_setting('max_prepared_transactions')",
    ),
  ).map(Number)
  const size = (perTransaction ?? 0) * ((connections ?? 0) + (prepared ?? 0))
  if (size >= 4_000) return undefined
  return {
    code: 'LOCK_TABLE_SMALL',
    severity: 'warning',
    message: `The server's lock table has room for about ${size} locks, of all applications and tables together. When it is full, all statements fail (error 53200).`,
    remedy: 'Raise max_locks_per_transaction (it needs a restart), or lower maxLocks of this service.',
  }
}

/** Waits of the same role can always be cancelled; other roles' connections need a right. */
async function checkSignals(ask: Ask): Promise<Check> {
  const [may, user] = singleRow(
    await ask(
      "SELECT (pg_catalog.pg_has_role(current_user,'pg_signal_backend','MEMBER') OR (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname=current_user))::int,current_user::text",
    ),
  )
  if (may === '1') return undefined
  return {
    code: 'MISSING_GRANT_KILL',
    severity: 'info',
    message: `The role "${user}" can end its own connections only: \`named-lock release --kill-holder\` will not work for locks of others, and they are shown without host.`,
    remedy: `For an operator's account: GRANT pg_signal_backend, pg_read_all_stats TO … The application does not need it.`,
  }
}
