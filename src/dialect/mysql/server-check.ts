import { NamedLockError } from '../../contract/errors.js'
import type { Finding } from '../../contract/lock-info.js'
import { singleValue } from '../../typeorm/raw-connection.js'
import type { Dialect } from '../dialect.js'
import { engineFinding } from '../engines.js'
import type { Ask } from '../../typeorm/raw-connection.js'
import { checkGalera, checkGroupReplication } from './clusters.js'
import { accountOf } from './metadata-locks.js'
import { maybe, variable } from './server-variables.js'
import { VERSION_TEXT } from './version-text.js'

/** The application's values of what a session for locks sets anew on its connection. */
export interface ReplacedSettings {
  readonly autocommit?: string | undefined
  readonly completionType?: string | undefined
}

/** What is wrong with the MySQL or MariaDB behind `ask`, where it is the home of named locks. One connection answers all. */
export async function checkServer(
  ask: Ask,
  dialect: Pick<Dialect, 'readLocks'>,
  lease: number,
  { autocommit, completionType }: ReplacedSettings = {},
): Promise<Finding[]> {
  const version = singleValue(await ask(`SELECT ${VERSION_TEXT} AS v`)) ?? ''
  const engine = engineFinding('mysql', version)
  // Everything else would be asked of a server that is not what it seems.
  if (engine?.severity === 'error') return [engine]
  const findings = [
    engine ?? checkVersion(version),
    await checkOneConnection(ask),
    await checkReadOnly(ask),
    await checkReplica(ask, version),
    await checkGalera(ask),
    await checkGroupReplication(ask),
    await checkBinlog(ask),
    await checkLease(ask, lease),
    await checkAutocommit(ask, autocommit),
    await checkCompletionType(ask, completionType),
    await checkRollbackOnTimeout(ask),
    await checkListing(ask, dialect),
    await checkKill(ask),
  ]
  return findings.filter((finding) => finding !== undefined)
}

type Check = Finding | undefined

export function checkVersion(version: string): Check {
  const [, major, minor, patch] = (/(\d+)\.(\d+)\.(\d+)/.exec(version.replace(/^5\.5\.5-(?=10\.)/, '')) ?? []).map(
    Number,
  )
  if (major === undefined || minor === undefined || patch === undefined) return undefined
  const isMariaDb = /mariadb/i.test(version)
  const least = isMariaDb ? [10, 0, 2] : [5, 7, 5]
  if (compare([major, minor, patch], least) >= 0) return undefined
  return {
    code: 'SERVER_TOO_OLD',
    severity: 'error',
    message: `The server is ${version}: a connection can hold one named lock there, and taking a second one gives the first one back.`,
    remedy: `Use ${isMariaDb ? 'MariaDB' : 'MySQL'} ${least.join('.')} or later.`,
  }
}

/** A proxy that multiplexes sends the statements of one session down several connections. */
async function checkOneConnection(ask: Ask): Promise<Check> {
  const ids = new Set<string | undefined>()
  for (let i = 0; i < 4; i++) ids.add(singleValue(await ask('SELECT CONNECTION_ID() AS i')))
  if (ids.size === 1) return undefined
  return {
    code: 'PROXY_MULTIPLEXES',
    severity: 'error',
    message: `Statements of one session arrived on different connections of the server (${[...ids].join(', ')}): a proxy in between multiplexes, and a lock would belong to the next client of its connection.`,
    remedy:
      'Connect past the proxy, or turn multiplexing off for this user (ProxySQL: mysql_users.transaction_persistent and a query rule with multiplex=0; RDS Proxy pins sessions by itself).',
  }
}

async function checkReadOnly(ask: Ask): Promise<Check> {
  if (!isSet(await variable(ask, '@@GLOBAL.read_only')) && !isSet(await variable(ask, '@@GLOBAL.innodb_read_only')))
    return undefined
  return {
    code: 'SERVER_READ_ONLY',
    severity: 'error',
    message:
      'The server is read-only, as replicas are. Named locks are not replicated: callers on the primary are not excluded by locks here.',
    remedy: "Point the DataSource (with replication: its master) at the primary's address.",
  }
}

async function checkReplica(ask: Ask, version: string): Promise<Check> {
  // MySQL before 8.0.22 knows the older word only.
  const words = /mariadb/i.test(version) ? ['SHOW ALL SLAVES STATUS'] : ['SHOW REPLICA STATUS', 'SHOW SLAVE STATUS']
  let rows: unknown[] | undefined
  for (const sql of words) rows ??= (await maybe(ask(sql))) as unknown[] | undefined
  if (!rows?.length) return undefined
  return {
    code: 'SERVER_IS_REPLICA',
    severity: 'warning',
    message:
      'The server replicates from another one. Named locks are not replicated: callers on the other server are not excluded by locks here.',
    remedy: 'Let all instances use the same server for their locks: the primary.',
  }
}

async function checkBinlog(ask: Ask): Promise<Check> {
  if ((await variable(ask, '@@GLOBAL.log_bin')) !== '1') return undefined
  if ((await variable(ask, '@@SESSION.binlog_format'))?.toUpperCase() !== 'STATEMENT') return undefined
  return {
    code: 'BINLOG_STATEMENT',
    severity: 'warning',
    message:
      'The server replicates statements, not rows. A statement that calls GET_LOCK or RELEASE_LOCK and writes is unsafe then. This library never writes in such a statement, your own SQL may.',
    remedy: 'Use binlog_format=ROW (the default since MySQL 5.7.7) or MIXED.',
  }
}

async function checkAutocommit(ask: Ask, replaced: string | undefined): Promise<Check> {
  if ((await variable(ask, '@@SESSION.autocommit')) !== '0' && replaced !== '0') return undefined
  return {
    code: 'AUTOCOMMIT_OFF',
    severity: 'warning',
    message:
      'autocommit is off: every statement outside a transaction begins one that TypeORM does not know of. What is written under a lock may be committed after the lock is released, or never.',
    remedy:
      'Set autocommit=1 on the server, and leave it out of init_connect. Use transaction() for work that belongs together.',
  }
}

async function checkCompletionType(ask: Ask, replaced: string | undefined): Promise<Check> {
  const type = [await variable(ask, '@@SESSION.completion_type'), replaced]
    .map((value) => value?.toUpperCase())
    .find((value) => value !== undefined && value !== 'NO_CHAIN' && value !== '0')
  if (type === undefined) return undefined
  return {
    code: 'COMPLETION_TYPE',
    severity: 'warning',
    message: `completion_type is ${type}: ${type === 'RELEASE' || type === '2' ? 'every COMMIT ends its connection, and the locks on it' : 'every COMMIT begins another transaction, which TypeORM does not know of'}.`,
    remedy: 'Set completion_type=NO_CHAIN, the default.',
  }
}

async function checkRollbackOnTimeout(ask: Ask): Promise<Check> {
  if (!isSet(await variable(ask, '@@GLOBAL.innodb_rollback_on_timeout'))) return undefined
  return {
    code: 'ROLLBACK_ON_TIMEOUT',
    severity: 'info',
    message:
      'innodb_rollback_on_timeout is on: a row lock that times out (error 1205) rolls the whole transaction back, although the error suggests to try the statement again.',
    remedy: 'Try the whole transaction again after error 1205, never the statement alone.',
  }
}

/** Sets the timeout that makes the lease, and looks whether the server has it. */
async function checkLease(ask: Ask, lease: number): Promise<Check> {
  const before = await variable(ask, '@@SESSION.wait_timeout')
  const wanted = String(
    Math.ceil(lease / 1000) + 1 === Number(before) ? Number(before) + 1 : Math.ceil(lease / 1000) + 1,
  )
  let after: string | undefined
  try {
    await ask(`SET SESSION wait_timeout=${wanted}`)
    after = await variable(ask, '@@SESSION.wait_timeout')
  } finally {
    if (before !== undefined) await maybe(ask(`SET SESSION wait_timeout=${before}`))
  }
  if (after === wanted) return undefined
  return {
    code: 'LEASE_NOT_KEPT',
    severity: 'error',
    message: `SET SESSION wait_timeout had no effect (${wanted} was set, ${after} is in force): a proxy may have swallowed it. The server would keep the locks of a vanished client for ${after} seconds.`,
    remedy:
      'Connect past the proxy; or set wait_timeout on the server to what your locks can bear, and accept that with allowNoLease: true.',
  }
}

async function checkListing(ask: Ask, dialect: Pick<Dialect, 'readLocks'>): Promise<Check> {
  try {
    const { missing } = await dialect.readLocks(ask)
    if (missing === undefined) return undefined
    return {
      code: 'LIST_INCOMPLETE',
      severity: 'info',
      message: `list() shows the locks of its own service only: ${missing}.`,
      remedy: 'Turn it on, to see the holders of locks. Locking does not need it.',
    }
  } catch (error) {
    if (!(error instanceof NamedLockError)) throw error
    return {
      code: 'MISSING_GRANT_LIST',
      severity: 'warning',
      message: `list() will fail. ${error.message}`,
      remedy: `GRANT SELECT ON performance_schema.* TO ${accountOf(singleValue(await ask('SELECT CURRENT_USER() AS u')))}`,
    }
  }
}

/** Waits of the same user can always be cancelled; other users' connections need a right. */
async function checkKill(ask: Ask): Promise<Check> {
  const rows = (await maybe(ask('SHOW GRANTS'))) as unknown[][] | undefined
  if (!rows) return undefined
  const grants = rows.map((row) => String(Object.values(row)[0])).filter((grant) => / ON \*\.\* /.test(grant))
  if (grants.some((grant) => /\b(ALL PRIVILEGES|SUPER|CONNECTION[_ ]ADMIN)\b/.test(grant))) return undefined
  const account = accountOf(singleValue(await ask('SELECT CURRENT_USER() AS u')))
  return {
    code: 'MISSING_GRANT_KILL',
    severity: 'info',
    message: `The user ${account} can end its own connections only: \`named-lock release --kill-holder\` will not work for locks of others, and they are shown without user and host.`,
    remedy: `For an operator's account: GRANT PROCESS, CONNECTION_ADMIN ON *.* (MariaDB: CONNECTION ADMIN). The application does not need it.`,
  }
}

/** MariaDB 12 has levels of read_only, by name. */
function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '0' && value.toUpperCase() !== 'OFF'
}

function compare(version: readonly number[], other: readonly number[]): number {
  const at = version.findIndex((part, i) => part !== other[i])
  return at < 0 ? 0 : (version[at] as number) - (other[at] as number)
}
