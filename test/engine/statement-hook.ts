import { connectionsIn, onNewConnection, type DataSource, type RawConnection } from '../support/typeorms.js'

export interface SentStatement {
  readonly sql: string
  readonly connectionId: string
  /** How many locks it takes, gives back or passes on. */
  readonly requests: number
}

export interface StatementHook {
  /** Changes a statement before it is sent. */
  rewrite: ((sql: string, requests: number) => string) | undefined
  /** Called right after a statement was sent. */
  afterSend: ((statement: SentStatement) => void) | undefined
  /** An error that whoever waits for this answer gets in its place: the server has done what it was asked, nobody knows. */
  spoil: ((statement: SentStatement) => Error | undefined) | undefined
  /** Called with every answer, before whoever waits for it gets it. */
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
      const sql = String(args[0]?.sql ?? args[0])
      const requests = sql.match(/\b(GET_LOCK|RELEASE_LOCK)\(/g)?.length ?? 0
      const statement = { sql, connectionId: String(connection.threadId), requests }
      if (hook.rewrite) {
        const rewritten = hook.rewrite(sql, requests)
        args[0] = typeof args[0] === 'string' ? rewritten : { ...args[0], sql: rewritten }
      }
      const callback: unknown = args.at(-1)
      if (typeof callback === 'function') {
        args[args.length - 1] = (error: Error | null, rows: unknown, fields: unknown) => {
          hook.onAnswer?.(statement, error, rows)
          const spoilt = error ? undefined : hook.spoil?.(statement)
          if (spoilt) callback(spoilt)
          else callback(error, rows, fields)
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
