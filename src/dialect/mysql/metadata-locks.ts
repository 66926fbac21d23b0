import { NamedLockError } from '../../contract/errors.js'
import { because } from '../../contract/troubleshooting.js'
import { singleRow, singleValue, type Ask } from '../../typeorm/raw-connection.js'
import type { LockRow, LockTable } from '../lock-table.js'
import { PROBE, refuseIllegible } from './legible.js'

/*
 * Reads the table of locks of MySQL and MariaDB: from performance_schema.metadata_locks, from MariaDB's plugin, or from the
 * statements that wait.
 */

type Row = readonly (string | number | null | undefined)[]

const INSTRUMENT = `SELECT COUNT(*) AS n FROM performance_schema.setup_instruments WHERE NAME='wait/lock/metadata/sql/mdl' AND ENABLED='YES'`

/** Written out: else sql_select_limit cuts a list short without a warning. */
const ALL = 'LIMIT 18446744073709551615'

/** Granted and pending only: the other states are of no length. */
const ROWS = `SELECT l.OBJECT_NAME,l.LOCK_STATUS,t.PROCESSLIST_ID,t.PROCESSLIST_USER,t.PROCESSLIST_HOST,t.PROCESSLIST_DB
FROM performance_schema.metadata_locks l JOIN performance_schema.threads t ON t.THREAD_ID=l.OWNER_THREAD_ID
WHERE l.OBJECT_TYPE='USER LEVEL LOCK' AND l.LOCK_STATUS IN ('GRANTED','PENDING') ${ALL}`

/** Since when statements run, in milliseconds: which shows how long each waiter has waited. */
export const RUNNING_MYSQL = `SELECT t.PROCESSLIST_ID,MAX(e.TIMER_WAIT)/1000000000
FROM performance_schema.events_statements_current e JOIN performance_schema.threads t ON t.THREAD_ID=e.THREAD_ID
WHERE t.PROCESSLIST_STATE='User lock' GROUP BY 1 ${ALL}`
export const RUNNING_MARIADB = `SELECT ID,TIME_MS FROM information_schema.PROCESSLIST WHERE STATE='User lock' ${ALL}`

/** Whether performance_schema.metadata_locks has anything to say. MySQL enables its instrument by default since 8.0, MariaDB does not. */
export async function hasMetadataLocks(ask: Ask): Promise<boolean> {
  const [isOn, ...probe] = singleRow(await ask(`SELECT @@performance_schema AS p,${PROBE}`))
  await refuseIllegible(ask, probe)
  if (isOn !== '1') return false
  return singleValue(await granted(ask, INSTRUMENT)) !== '0'
}

export async function readMetadataLocks(ask: Ask, running: string): Promise<LockTable> {
  const rows = (await granted(ask, ROWS)) as Row[]
  const waited = await timesOf(ask, running)
  return {
    rows: inOrder(
      rows.map(([key, status, id, user, host, database]) => ({
        key: String(key),
        isGranted: status === 'GRANTED',
        ...connection(id, user, host, database),
        forMs: status === 'PENDING' ? waited.get(String(id)) : undefined,
      })),
    ),
  }
}

/** MariaDB's plugin metadata_lock_info: holders only. Undefined where it is not installed. */
export async function readLockInfoPlugin(ask: Ask): Promise<LockRow[] | undefined> {
  const sql = `SELECT l.TABLE_SCHEMA,l.THREAD_ID,p.USER,p.HOST,p.DB FROM information_schema.METADATA_LOCK_INFO l
LEFT JOIN information_schema.PROCESSLIST p ON p.ID=l.THREAD_ID WHERE l.LOCK_TYPE='User lock' ${ALL}`
  const rows = await ask(sql).catch((error: unknown) => {
    if ((error as { errno?: number }).errno === ER_UNKNOWN_TABLE) return undefined
    throw error
  })
  return (rows as Row[] | undefined)?.map(([key, id, user, host, database]) => ({
    key: String(key),
    isGranted: true,
    ...connection(id, user, host, database),
  }))
}

/** The waiters, read out of their statements. Only keys are found that stand there as the library or a simple text writes it. */
export async function readWaitingStatements(ask: Ask): Promise<LockRow[]> {
  const sql = `SELECT ID,USER,HOST,DB,TIME_MS,CONVERT(INFO USING utf8mb4) FROM information_schema.PROCESSLIST WHERE STATE='User lock' ${ALL}`
  const rows = (await ask(sql)) as Row[]
  return inOrder(
    rows.flatMap(([id, user, host, database, time, statement]) => {
      const key = keyIn(String(statement ?? ''))
      if (key === undefined) return []
      return [{ key, isGranted: false, ...connection(id, user, host, database), forMs: Number(time) }]
    }),
  )
}

/** The values of a user variable in all sessions of the server, by connection. Nothing where they cannot be read. */
export async function readUserVariable(ask: Ask, variable: string): Promise<[connectionId: string, value: string][]> {
  const sql = `SELECT t.PROCESSLIST_ID,CONVERT(v.VARIABLE_VALUE USING utf8mb4)
FROM performance_schema.user_variables_by_thread v JOIN performance_schema.threads t ON t.THREAD_ID=v.THREAD_ID
WHERE v.VARIABLE_NAME='${variable}' ${ALL}`
  const rows = (await ask(sql).catch(() => [])) as Row[]
  return rows.map(([id, value]) => [String(id), String(value ?? '')])
}

const ER_UNKNOWN_TABLE = 1109
const ER_DB_ACCESS_DENIED = 1044
const ER_TABLE_ACCESS_DENIED = 1142

/** A statement on performance_schema: the error of a missing right names the grant. */
async function granted(ask: Ask, sql: string): Promise<unknown> {
  try {
    return await ask(sql)
  } catch (error) {
    const { errno } = error as { errno?: number }
    if (errno !== ER_TABLE_ACCESS_DENIED && errno !== ER_DB_ACCESS_DENIED) throw error
    const [who] = singleRow(await ask('SELECT CURRENT_USER() AS u').catch(() => []))
    throw new NamedLockError(
      because(
        'grants',
        `The user ${accountOf(who)} may not see the server's locks. Grant it: GRANT SELECT ON performance_schema.* TO ${accountOf(who)};`,
      ),
      { cause: error },
    )
  }
}

/** `app@%` as it stands in a GRANT. */
export function accountOf(currentUser: string | undefined): string {
  const at = currentUser?.lastIndexOf('@') ?? -1
  if (currentUser === undefined || at < 0) return 'the user'
  const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`
  return `${quoted(currentUser.slice(0, at))}@${quoted(currentUser.slice(at + 1))}`
}

async function timesOf(ask: Ask, sql: string): Promise<Map<string, number>> {
  const rows = (await ask(sql).catch(() => [])) as Row[]
  return new Map(rows.map(([id, time]) => [String(id), Number(time)]))
}

/** The longest waiter comes first. */
function inOrder(rows: LockRow[]): LockRow[] {
  return rows.sort((a, b) => (b.forMs ?? 0) - (a.forMs ?? 0))
}

type Cell = Row[number]

function connection(id: Cell, user: Cell, host: Cell, database: Cell): Omit<LockRow, 'key' | 'isGranted'> {
  return {
    connectionId: String(id),
    user: user?.toString(),
    host: host?.toString().replace(/:\d+$/, ''),
    database: database?.toString(),
  }
}

function keyIn(statement: string): string | undefined {
  const [, hex, plain] = /GET_LOCK\s*\(\s*(?:x'([0-9a-f]+)'|'([^'\\]*)')/i.exec(statement) ?? []
  return hex === undefined ? plain : Buffer.from(hex, 'hex').toString('utf8')
}
