import { singleRow, type Ask, type RawConnection } from '../../typeorm/raw-connection.js'
import type { ServerFacts, SessionUse } from '../dialect.js'
import { enforcesLease } from '../engines.js'
import { serverLeaseSeconds } from '../server-lease.js'
import { PROBE, refuseIllegible } from './legible.js'
import { askWithLock } from './lock-functions.js'
import type { ReplacedSettings } from './server-check.js'
import { statusIn } from './transaction-status.js'
import { VERSION_TEXT } from './version-text.js'

/** What a session reads and sets that MySQL and MariaDB call by different names. */
export interface ServerVariables {
  /** The variable that limits how long a statement may run. */
  readonly timeLimit: string
  /** An expression that names the server. */
  readonly identity: string
  /**
   * Limits for a transaction's silence that are in force, with their values. They would end a session within its lease, and the lease
   * alone says how long a session may be silent. Left out where there are none.
   */
  readonly idleLimits?: (ask: Ask) => Promise<readonly (readonly [name: string, value: number])[]>
}

/** The application's settings that sessions have replaced by their own: check() may run on such a connection, and has to report these. */
const replaced = new WeakMap<object, ReplacedSettings>()

export function replacedSettings(connection: RawConnection): ReplacedSettings | undefined {
  return replaced.get(connection)
}

/** Makes a connection a session: the lease is its wait_timeout. */
export async function openMySqlSession(
  ask: Ask,
  { timeLimit, identity: server, idleLimits }: ServerVariables,
  leaseMs: number,
  use: SessionUse,
  connection: RawConnection,
): Promise<ServerFacts> {
  const isForWork = use !== 'locks' && use !== 'probe'
  const before = singleRow(
    await ask(
      `SELECT @@SESSION.wait_timeout AS w,@@SESSION.${timeLimit} AS t,@@SESSION.autocommit AS a,@@SESSION.completion_type AS c,${PROBE}`,
    ),
  )
  await refuseIllegible(ask, before.slice(4))
  // A COMMIT must not begin the next transaction, or end the connection; and a session that only holds locks must hold no snapshot.
  // Where the work has to commit by its own statement, autocommit stays off.
  const own = [
    ...(isForWork || before[2] === '1' ? [] : [['autocommit', '1', '0'] as const]),
    ...(use === 'transaction' || before[3] === 'NO_CHAIN'
      ? []
      : [['completion_type', "'NO_CHAIN'", `'${before[3]}'`] as const]),
  ]
  replaced.set(connection, { autocommit: before[2], completionType: before[3] })
  const seconds = serverLeaseSeconds(leaseMs)
  const idle = (await idleLimits?.(ask)) ?? []
  const changed = [...idle.map(([name, value]) => [name, '0', String(value)] as const), ...own]
  const set = await ask(
    `SET SESSION wait_timeout=${seconds}${changed.map(([name, value]) => `,SESSION ${name}=${value}`).join('')}` +
      (isForWork ? '' : `,SESSION ${timeLimit}=0`),
  )
  // Read back on purpose: a proxy may swallow the SET, and then the server would keep a vanished client's locks for hours.
  const columns = `CONNECTION_ID() AS i,@@SESSION.wait_timeout AS w,${server} AS s,USER() AS u,DATABASE() AS d,${VERSION_TEXT} AS v`
  // The probe asks about the lock functions one by one; and the application's own connection is not used for it.
  const isTried = use === 'locks' || use === 'work'
  const [id, lease, identity, user, database, version = ''] = isTried
    ? await askWithLock(ask, columns)
    : singleRow(await ask(`SELECT ${columns}`))
  const [clock] = singleRow(await ask('SELECT UNIX_TIMESTAMP(SYSDATE()) AS t'))
  const [, uptime] = singleRow(await ask("SHOW GLOBAL STATUS LIKE 'Uptime'"))
  const at = user?.lastIndexOf('@') ?? -1
  return {
    connectionId: id ?? '',
    identity: identity ?? 'unknown',
    startedAt: Number(clock) - Number(uptime),
    user: user?.slice(0, at),
    host: user?.slice(at + 1),
    database,
    restore:
      `SET SESSION wait_timeout=${Number(before[0])}${changed.map(([name, , value]) => `,SESSION ${name}=${value}`).join('')}` +
      (isForWork ? '' : `,SESSION ${timeLimit}=${Number(before[1])}`),
    // MySQL 9's packets say the opposite of a session that began with autocommit off.
    status: isForWork && before[2] === '0' ? 'implicit' : statusIn(set),
    lease: Number(lease) === seconds && enforcesLease('mysql', version) ? leaseMs : undefined,
  }
}
