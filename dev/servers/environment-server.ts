import { engines } from './engines.js'
import { urlOf, WayNotOpen, type RunningServer, type ServerAddress, type ServerKind } from './server-types.js'

export function environmentVariable(kind: ServerKind): string {
  return `NAMED_LOCK_${kind.toUpperCase()}_URL`
}

/** A server that was started elsewhere, and is only used here. */
export async function environmentServer(kind: ServerKind): Promise<RunningServer> {
  const variable = environmentVariable(kind)
  const value = process.env[variable]
  if (!value) throw new WayNotOpen(`${variable} is not set`)
  const address = parseUrl(kind, variable, value)
  const { version } = await engines[kind].identify(address).catch((error: unknown) => {
    throw new Error(`${variable} is set, but no server answers at ${address.host}:${address.port}`, { cause: error })
  })
  const refuse = async (): Promise<never> => {
    throw new Error(`The server of ${variable} was not started here, so it cannot be killed, frozen or restarted`)
  }
  const leaveAlone = async (): Promise<void> => undefined
  return {
    ...address,
    version,
    origin: 'environment',
    url: urlOf(address),
    canControl: false,
    stop: leaveAlone,
    [Symbol.asyncDispose]: leaveAlone,
    kill: refuse,
    freeze: refuse,
    thaw: refuse,
    restart: refuse,
  }
}

function parseUrl(kind: ServerKind, variable: string, value: string): ServerAddress {
  const example = urlOf({ kind, host: '127.0.0.1', port: 1, username: 'app', password: 'app', database: 'app' })
  const problem = new Error(`${variable} should look like ${example.replace(':1/', ':<port>/')}`)
  if (!URL.canParse(value)) throw problem
  const url = new URL(value)
  const database = decodeURIComponent(url.pathname.slice(1))
  if (!/^(mysql|mariadb|postgres|postgresql):$/.test(url.protocol) || !url.hostname || !database) throw problem
  return {
    kind,
    host: url.hostname,
    port: Number(url.port || (kind === 'postgres' ? 5432 : 3306)),
    username: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database,
  }
}
