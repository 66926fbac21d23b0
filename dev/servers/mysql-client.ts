import { createConnection, type Connection } from 'mysql2/promise'
import type { ServerIdentity } from './engine.js'
import type { ServerAddress } from './server-types.js'

type Login = Pick<ServerAddress, 'host' | 'port' | 'username' | 'password'>

export async function withMysqlConnection<T>(login: Login, work: (connection: Connection) => Promise<T>): Promise<T> {
  const { host, port, username: user, password } = login
  const connection = await createConnection({ host, port, user, password, connectTimeout: 2000 })
  // A server that disappears between two statements must not end this process.
  connection.on('error', () => undefined)
  try {
    return await work(connection)
  } finally {
    connection.destroy()
  }
}

export function identifyMysql(address: ServerAddress): Promise<ServerIdentity> {
  return withMysqlConnection(address, async (connection) => {
    const [rows] = await connection.query<any[]>('SELECT VERSION() AS version, @@datadir AS dataDir')
    return rows[0] as ServerIdentity
  })
}
