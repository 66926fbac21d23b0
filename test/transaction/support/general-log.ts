import type { Conformance } from '../../support/conformance.js'
import { logOf, lockInLog } from './postgres-log.js'

export interface LoggedStatement {
  /** The server's id of the connection. */
  readonly connection: string
  readonly sql: string
}

/** What the server was told while `work` ran, in the order in which it came, as the server's own log has it. */
export async function record(ctx: Conformance, work: () => Promise<unknown>): Promise<LoggedStatement[]> {
  const { outsider } = ctx
  if (ctx.isPostgres) return logOf(ctx, work)
  await outsider.query('SET GLOBAL log_output = "TABLE"')
  await outsider.query('TRUNCATE mysql.general_log')
  await outsider.query('SET GLOBAL general_log = ON')
  try {
    await work()
  } finally {
    await outsider.query('SET GLOBAL general_log = OFF')
    await outsider.query('SET GLOBAL log_output = "FILE"')
  }
  return outsider.query<LoggedStatement>(
    `SELECT CAST(thread_id AS CHAR) AS connection, CONVERT(argument USING utf8mb4) AS \`sql\`
     FROM mysql.general_log WHERE command_type = 'Query' AND thread_id <> CONNECTION_ID()`,
  )
}

/** Setting a session up and looking after it: not what the tests are about. */
const HOUSEKEEPING =
  /^(SELECT (VERSION|@@|CONNECTION_ID|UNIX_TIMESTAMP|1$)|SET (SESSION wait_timeout|@`)|SHOW (GLOBAL STATUS|SESSION VARIABLES)|KILL QUERY)|IS_FREE_LOCK|IS_USED_LOCK|^(RE)?SET idle_|current_database\(\)::text AS d|pg_backend_pid|pg_locks|^(PREPARE|DEALLOCATE)|^SELECT 1$/

/** The statements as words: `GET_LOCK a`, `START TRANSACTION`, the work's own as they are. */
export function inWords(statements: readonly LoggedStatement[], ctx: Conformance): string[] {
  return statements.map(({ sql }) => toWords(sql, ctx)).filter((words) => words !== undefined)
}

function toWords(sql: string, ctx: Conformance): string | undefined {
  const { database } = ctx
  if (ctx.isPostgres) return lockInLog(sql, ctx) ?? (HOUSEKEEPING.test(sql) ? undefined : sql)
  const lock = /\b(GET_LOCK|RELEASE_LOCK)\(x'([0-9a-f]+)'/.exec(sql)
  if (lock)
    return `${lock[1]} ${Buffer.from(lock[2] as string, 'hex')
      .toString()
      .replace(`${database}.`, '')}`
  return HOUSEKEEPING.test(sql) ? undefined : sql
}
