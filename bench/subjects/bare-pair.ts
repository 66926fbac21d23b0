import { createConnection } from 'mysql2'
import type { ServerAddress } from '../../dev/servers/index.js'
import type { Subject } from './subject.js'

/**
 * What one round trip costs: a prepared statement releases the last lock and takes the next one, and nothing else happens. The limit for a
 * lone caller that does not wait for its releases, with this driver.
 */
export async function openBarePair(address: ServerAddress): Promise<Subject> {
  const { host, port, username: user, password, database } = address
  const connection = createConnection({ host, port, user, password, database })
  connection.on('error', () => undefined) // the failing statement reports it
  let last = 'none yet'

  // It still holds its last lock while other subjects are measured, so its names are its own.
  const take = (given: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const name = `bare:${given}`
      connection.execute<any[]>('SELECT RELEASE_LOCK(?) a, GET_LOCK(?,0) b', [last, name], (error, rows) => {
        if (error) reject(error)
        else if (Number(rows[0].b) === 1) resolve()
        else reject(new Error(`The lock '${name}' is held.`))
      })
      last = name
    })

  return {
    async withLock(name, work) {
      await take(name)
      return work()
    },
    [Symbol.asyncDispose]: () => new Promise((resolve) => connection.end(() => resolve())),
  }
}
