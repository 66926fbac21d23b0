import { connectionsIn, idOf, onNewConnection, type DataSource, type RawConnection } from '../support/typeorms.js'

export interface SentStatement {
  readonly sql: string
  readonly connectionId: string
  /** How many locks it takes, releases or passes on. */
  readonly requests: number
}

export interface StatementHook {
  /** Changes a statement before it is sent. */
  rewrite: ((sql: string, requests: number) => string) | undefined
  /** Called right after a statement was sent. */
  afterSend: ((statement: SentStatement) => void) | undefined
  /** An error in the place of this answer: the server has done what it was asked, and the library does not know. */
  spoil: ((statement: SentStatement) => Error | undefined) | undefined
  /** Called with every answer, before the library gets it. */
  onAnswer: ((statement: SentStatement, error: Error | null, rows: unknown) => void) | undefined
}

/** Watches what a DataSource's connections send: faults can be timed by it. */
export function hookStatements(dataSource: DataSource): StatementHook {
  const hook: StatementHook = {
    rewrite: undefined,
    afterSend: undefined,
    spoil: undefined,
    onAnswer: undefined,
  }
  const patch = (connection: RawConnection) => {
    const original = connection.query.bind(connection)
    connection.query = (...args: any[]) => {
      const key = typeof args[0]?.text === 'string' ? 'text' : 'sql' // of pg's objects, and of mysql2's
      const sql = String(args[0]?.[key] ?? args[0])
      const statement = { sql, connectionId: idOf(connection), requests: requestsIn(sql) }
      const { requests } = statement
      if (hook.rewrite) {
        const rewritten = hook.rewrite(sql, requests)
        args[0] = typeof args[0] === 'string' ? rewritten : { ...args[0], [key]: rewritten }
      }
      const callback: unknown = args.at(-1)
      if (typeof callback === 'function') {
        args[args.length - 1] = (error: Error | null, result: unknown, fields: unknown) => {
          // pg wraps the rows.
          hook.onAnswer?.(statement, error, (result as { rows?: unknown } | undefined)?.rows ?? result)
          const spoilt = error ? undefined : hook.spoil?.(statement)
          if (spoilt) callback(spoilt)
          else callback(error, result, fields)
        }
      }
      const result = original(...args)
      hook.afterSend?.(statement)
      return result
    }
  }
  for (const connection of connectionsIn(dataSource)) patch(connection)
  onNewConnection(dataSource, patch)
  return hook
}

/** How many locks a statement takes, releases or passes on. */
function requestsIn(sql: string): number {
  // PostgreSQL: the operations of the prepared statement, or one request alone.
  const [, operations] = /^EXECUTE typeorm_named_lock\('\{([\d,]*)\}'/.exec(sql) ?? []
  if (operations !== undefined) return operations.split(',').length
  if (/^EXECUTE typeorm_named_lock_/.test(sql)) return 1
  return sql.match(/\b(GET_LOCK|RELEASE_LOCK|pg_try_advisory_lock|pg_advisory_lock|pg_advisory_unlock)\(/g)?.length ?? 0
}

/** The error of a cancelled statement. */
export function cancelled(isPostgres: boolean): Error {
  return isPostgres
    ? Object.assign(new Error('canceling statement due to user request'), { code: '57014', severity: 'ERROR' })
    : Object.assign(new Error('Query execution was interrupted'), { errno: 1317, sqlState: '70100' })
}

/** A batch of PostgreSQL that takes its time before the request at that place. */
export function sleepingBatch(sql: string, at: number): string {
  const [, operations = '', keys = ''] = /^EXECUTE typeorm_named_lock\('\{([\d,]*)\}','\{([-\d,]*)\}'/.exec(sql) ?? []
  if (operations === '') return sql
  const all = keys.split(',')
  const requests = operations.split(',').map((operation, i) => {
    const call = operation === '0' ? 'pg_try_advisory_lock' : 'pg_advisory_unlock'
    const request = `CASE WHEN ${call}(${all[i]}) THEN '1' ELSE '0' END`
    return i === at ? `CASE WHEN pg_sleep(0.03)::text IS NULL THEN '0' ELSE ${request} END` : request
  })
  return `SELECT array_to_string(ARRAY[${requests.join(',')}],',') AS r`
}
