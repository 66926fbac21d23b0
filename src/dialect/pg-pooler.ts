import { NamedLockConfigurationError } from '../errors.js'
import type { Ask } from './dialect.js'
import type { PgClient } from './pg-wire.js'

/** A second client like the first, as long as it is needed. */
interface Probe extends PgClient {
  connect(): Promise<unknown>
}

const PID = 'SELECT pg_backend_pid()::text AS id'
const LOOKS = 4

/**
 * A pooler such as PgBouncer makes up the process id that a client is told, so a session whose backend says another one is behind a pooler. With session pooling
 * that does no harm. With transaction pooling every statement may run on another connection, and a session's lock would be the
 * next client's: so a second client watches whether its connection changes once the first one has let go of its own.
 *
 * @throws NamedLockConfigurationError for transaction pooling.
 */
export async function refuseTransactionPooling(ask: Ask, client: PgClient, backend: string | undefined): Promise<void> {
  if (client.processID === undefined || client.processID === null || String(client.processID) === backend) return
  if (await hasTransactionPooling(ask, client)) {
    throw new NamedLockConfigurationError(
      'A pooler (such as PgBouncer) with transaction pooling is between the application and PostgreSQL: statements of one client run on ' +
        "different connections, and a lock would belong to the next client's. Connect past the pooler, or use session pooling: for a " +
        'DataSource of its own for locks, if the rest has to stay.',
    )
  }
}

async function hasTransactionPooling(ask: Ask, client: PgClient): Promise<boolean> {
  const probe = likeIt(client)
  probe.on('error', () => {})
  const pid = async (): Promise<string> => {
    return new Promise((resolve, reject) =>
      probe.query(PID, (error, result) =>
        error ? reject(error) : resolve((result as { rows: { id: string }[] }).rows[0]?.id ?? ''),
      ),
    )
  }
  try {
    await probe.connect()
    await ask('BEGIN')
    const seen = new Set([await pid()])
    await ask('COMMIT')
    // Poolers take the connection that came back last, or all of them in turn: either way it is another one soon.
    for (let i = 0; i < LOOKS && seen.size === 1; i++) seen.add(await pid())
    return seen.size > 1
  } finally {
    await probe.end().catch(() => {})
  }
}

function likeIt(client: PgClient): Probe {
  const { host, port, user, database, password, ssl } = client as PgClient & Readonly<Record<string, unknown>>
  const Client = client.constructor as new (options: object) => Probe
  return new Client({ host, port, user, database, password, ssl, application_name: 'typeorm-named-lock' })
}
