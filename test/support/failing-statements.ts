import { connectionsIn, onNewConnection, type DataSource, type RawConnection } from './typeorms.js'

export interface FailingStatements {
  begin(): void
  end(): void
  /** The number of statements that have failed. */
  readonly count: number
}

/** Makes matching statements of a DataSource fail on the client's side, while their connections stay alive. */
export function failStatements(dataSource: DataSource, pattern: RegExp): FailingStatements {
  let failing = false
  let count = 0
  const patch = (connection: RawConnection) => {
    const original = connection.query.bind(connection)
    connection.query = (...args: any[]) => {
      const sql: unknown = typeof args[0] === 'string' ? args[0] : (args[0]?.sql ?? args[0]?.text)
      const callback: unknown = args.at(-1)
      if (!failing || typeof sql !== 'string' || !pattern.test(sql) || typeof callback !== 'function') {
        return original(...args)
      }
      count++
      const error = Object.assign(new Error('This statement fails in this test.'), {
        code: 'ER_TEST',
        errno: 1105,
        severity: 'ERROR',
        sql,
      })
      setImmediate(() => callback(error))
      return undefined
    }
  }
  for (const connection of connectionsIn(dataSource)) patch(connection)
  onNewConnection(dataSource, patch)
  return {
    begin: () => (failing = true),
    end: () => (failing = false),
    get count() {
      return count
    },
  }
}
