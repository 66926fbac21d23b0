import { connectionsIn, onNewConnection, type DataSource, type RawConnection } from '../../support/typeorms.js'

/** Calls `then` right before a DataSource's connections send a statement that matches. */
export function onStatement(
  dataSource: DataSource,
  pattern: RegExp,
  then: (connection: RawConnection, sql: string) => void,
): void {
  const patch = (connection: RawConnection) => {
    const original = connection.query.bind(connection)
    connection.query = (...args: any[]) => {
      const sql: unknown = typeof args[0] === 'string' ? args[0] : (args[0]?.sql ?? args[0]?.text)
      if (typeof sql === 'string' && pattern.test(sql)) then(connection, sql)
      return original(...args)
    }
  }
  for (const connection of connectionsIn(dataSource)) patch(connection)
  onNewConnection(dataSource, patch)
}
