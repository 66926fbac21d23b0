import type { RawConnection } from '../typeorm/raw-connection.js'
import { clearTimeout, setTimeout } from '../util/clock.js'

/** Nothing came back on a connection: it may be dead without knowing, as after a firewall has lost its state. */
export class SilentConnectionError extends Error {}

/** The rows of a statement on a connection that no session looks after. */
export function queryWithin(connection: RawConnection, sql: string, milliseconds: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const silent = (): void =>
      reject(new SilentConnectionError(`the connection did not answer within ${milliseconds} ms`))
    const timer = setTimeout(silent, milliseconds)
    connection.query({ sql, rowsAsArray: true }, (error, rows) => {
      clearTimeout(timer)
      if (error) reject(error)
      else resolve(rows)
    })
  })
}
