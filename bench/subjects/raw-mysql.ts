import { createConnection } from 'mysql2'
import type { ServerAddress } from '../../dev/servers/index.js'
import type { HandleSubject } from './subject.js'

/** mysql2 with the usual statements, or, if `isPrepared`, prepared once for the connection. */
export async function openRawMySql(address: ServerAddress, isPrepared = false): Promise<HandleSubject> {
  const { host, port, username: user, password, database } = address
  const connection = createConnection({ host, port, user, password, database })

  connection.on('error', () => undefined) // the failing statement reports it

  const ask = (sql: string, parameters: (string | number)[]): Promise<void> =>
    new Promise((resolve, reject) => {
      const answered = (error: Error | null, rows: any[]): void => {
        if (error) reject(error)
        else if (Number(rows[0].result) === 1) resolve()
        else reject(new Error(`${sql} of '${String(parameters[0])}' answered ${rows[0].result}`))
      }
      if (isPrepared) connection.execute<any[]>(sql, parameters, answered)
      else connection.query<any[]>(sql, parameters, answered)
    })
  const lock = (name: string) => ask('SELECT GET_LOCK(?, ?) AS result', [name, 10])
  const unlock = (name: string) => ask('SELECT RELEASE_LOCK(?) AS result', [name])

  return {
    async withLock(name, work) {
      await lock(name)
      try {
        return await work()
      } finally {
        await unlock(name)
      }
    },
    async acquire(name) {
      await lock(name)
      return () => unlock(name)
    },
    [Symbol.asyncDispose]: () => new Promise((resolve) => connection.end(() => resolve())),
  }
}
