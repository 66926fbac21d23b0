import { connect } from 'node:net'
import type { DataSource } from 'typeorm'
import { NamedLockConfigurationError } from '../contract/errors.js'
import { clearTimeout, setTimeout } from '../util/clock.js'

/** How long to wait for the driver, in milliseconds. A healthy server greets, or answers, much sooner. */
const PATIENCE = 1_500
/** PostgreSQL's SSLRequest: the server answers S or N before anything else is sent. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/**
 * Runs `work`, which connects. If that takes long, checks whether the server belongs to the other family.
 *
 * MySQL's server speaks first, PostgreSQL's client does. With one of each both may wait, for 10 s or forever. A second
 * connection of this command, without a driver, identifies the server in milliseconds.
 *
 * @throws NamedLockConfigurationError if the server belongs to the other family.
 */
export async function withoutWrongServer<T>(dataSource: DataSource, work: () => Promise<T>): Promise<T> {
  const { host = 'localhost', port } = addressOf(dataSource)
  const driver = dataSource.options.type === 'postgres' ? 'PostgreSQL' : 'MySQL'
  if (port === undefined) return work()
  const working = work()
  working.catch(() => {})
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(() => resolve('late'), PATIENCE)))
  const first = await Promise.race([
    working.then(
      () => 'done' as const,
      () => 'failed' as const,
    ),
    late,
  ])
  clearTimeout(timer)
  if (first === 'done') return working
  const found = await serverAt(host, port)
  if (found === undefined || found === driver) return working
  throw new NamedLockConfigurationError(
    `The server at ${host}:${port} is ${found}, not ${driver}. Check the port, and the url or type of the DataSource: ` +
      (found === 'MySQL' ? 'MySQL listens on 3306 by default.' : 'PostgreSQL listens on 5432 by default.'),
  )
}

function addressOf({ options }: DataSource): { host?: string; port?: number } {
  const { url, host, port } = options as { url?: string; host?: string; port?: number }
  if (url === undefined || !URL.canParse(url))
    return { ...(host !== undefined && { host }), ...(port && { port: Number(port) }) }
  const parsed = new URL(url)
  const usual = options.type === 'postgres' ? 5432 : 3306
  return { host: parsed.hostname, port: Number(parsed.port) || usual }
}

/** The family of the server at that address; undefined if it cannot be determined. */
function serverAt(host: string, port: number): Promise<'MySQL' | 'PostgreSQL' | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: host.replace(/^\[|\]$/g, ''), port })
    const ask = setTimeout(() => socket.write(SSL_REQUEST), 300)
    const late = setTimeout(() => done(undefined), PATIENCE)
    const done = (found: 'MySQL' | 'PostgreSQL' | undefined): void => {
      clearTimeout(ask)
      clearTimeout(late)
      socket.destroy()
      resolve(found)
    }
    socket.on('error', () => done(undefined))
    socket.on('close', () => done(undefined))
    socket.once('data', (data) => {
      // A greeting: length, sequence 0, protocol 10; or an error packet, as for a host that is refused.
      const isMySql = data.length > 5 && data[3] === 0 && (data[4] === 10 || data[4] === 255)
      const isPostgres = data.length === 1 && (data[0] === 0x53 || data[0] === 0x4e)
      done(isMySql ? 'MySQL' : isPostgres ? 'PostgreSQL' : undefined)
    })
  })
}
