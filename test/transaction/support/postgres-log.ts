import { readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import type { Conformance } from '../../support/conformance.js'
import type { LoggedStatement } from './general-log.js'

/** Sessions of the test's database that begin from now on have their statements logged. */
export async function logStatements({ outsider, database }: Conformance): Promise<void> {
  await outsider.query(`ALTER DATABASE ${database} SET log_statement = 'all'`)
}

/** Where a server of ours writes to; undefined where its files are elsewhere. */
export function logFile({ server }: Conformance): string | undefined {
  return server.dataDir === undefined ? undefined : path.join(server.dataDir, '../server.log')
}

/** What sessions of the test's database, and no outsiders, have sent while `work` ran. */
export async function logOf(ctx: Conformance, work: () => Promise<unknown>): Promise<LoggedStatement[]> {
  const file = logFile(ctx)!
  const { size } = await stat(file)
  await work()
  const text = (await readFile(file)).subarray(size).toString()
  const statements: { connection: string; sql: string }[] = []
  // Every entry begins with its time and process; further lines of it begin with a tab.
  for (const entry of text.split(/\n(?!\t)/)) {
    const [, connection = '', level, rest = ''] = /^\S+ \S+ \S+ \[(\d+)\] (\w+): {2}(.*)$/s.exec(entry) ?? []
    const [, sql] = /^(?:statement|execute [^:]+): (.*)$/s.exec(rest) ?? []
    const last = statements.at(-1)
    if (level === 'LOG' && sql !== undefined && connection !== ctx.outsider.id) statements.push({ connection, sql })
    // The parameters of a statement that was prepared.
    else if (level === 'DETAIL' && last?.connection === connection) last.sql += ` ${rest}`
  }
  return statements
}

/** The request for a lock, or its release. */
export function lockInLog(sql: string, ctx: Conformance): string | undefined {
  const [, call] = /\b(pg_try_advisory_lock|pg_advisory_lock|pg_advisory_unlock)\(/.exec(sql) ?? []
  if (call === undefined) return undefined
  const name = ['a', 'b'].find((one) => sql.includes(ctx.keyOf(one)))
  return `${call === 'pg_advisory_unlock' ? 'RELEASE_LOCK' : 'GET_LOCK'} ${name}`
}
