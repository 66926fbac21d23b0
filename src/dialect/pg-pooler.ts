import { NamedLockConfigurationError } from '../errors.js'
import { within } from '../within.js'
import { AS_TEXT } from './pg-statement.js'
import type { PgClient } from './pg-wire.js'
import { monotonicNow, setImmediate } from '../util/clock.js'

/** A second client like the first, as long as it is needed. */
interface Probe extends PgClient {
  connect(): Promise<unknown>
}

/** What is between a client and its server, as far as locks are concerned. */
export type Pooling = 'none' | 'session' | 'transaction'

const PID = 'SELECT pg_backend_pid()::text AS id'
/** How often two clients look whom they have reached. */
const LOOKS = 4
/** How long they have for it, in milliseconds. */
const PATIENCE = 10_000
/** How long what was found is relied on. */
const FRESH = 60_000

interface Found {
  readonly pooling: Promise<Pooling>
  readonly at: number
}

/** By address, database and user: what a pooler goes by. */
const found = new Map<string, Found>()

/**
 * A pooler such as PgBouncer makes up the process id that a client is told, so a client whose backend says another one is behind
 * a pooler. With session pooling that does no harm: each client has a connection of the server for itself. With transaction or
 * statement pooling every statement may run on another one. Two clients find that out: when both reach one and the same backend, or
 * one of them several, nothing that lasts longer than a transaction is theirs. Idle poolers give out the connection that came back
 * last, or all of them in turn, so either is seen soon.
 *
 * @param backend What the backend says to be its process id.
 */
export async function poolingOf(client: PgClient, backend: string | undefined): Promise<Pooling> {
  const { processID, host, port, database, user } = client
  if (processID === undefined || processID === null || String(processID) === backend) return 'none'
  const key = JSON.stringify([host, port, database, user])
  const known = found.get(key)
  if (known && monotonicNow() - known.at < FRESH) return known.pooling
  const pooling = findOut(client).catch((error: unknown) => {
    // All connections are in use: what was so a minute ago has to do.
    if (known) return known.pooling
    found.delete(key)
    throw error
  })
  found.set(key, { pooling, at: monotonicNow() })
  return pooling
}

/** @throws NamedLockConfigurationError where a lock of a session would be the next client's. */
export async function refuseTransactionPooling(client: PgClient, backend: string | undefined): Promise<void> {
  if ((await poolingOf(client, backend)) !== 'transaction') return
  throw new NamedLockConfigurationError(
    'A pooler (such as PgBouncer) with transaction or statement pooling is between the application and PostgreSQL: statements of one client ' +
      "run on different connections, and a lock would belong to the next client's. Connect past the pooler, or use session pooling, if need be " +
      "for a DataSource of its own for locks; or use pooling: 'transaction' where locks that live and end with a transaction are enough.",
  )
}

async function findOut(client: PgClient): Promise<Pooling> {
  const probes = [likeIt(client), likeIt(client)] as const
  for (const probe of probes) probe.on('error', () => {})
  try {
    return await within(areMixed(probes), PATIENCE, undefined, () => {
      return new Error(
        `whether the pooler in front of PostgreSQL pools sessions or transactions could not be found out within ${PATIENCE} ms: it gave no connection`,
      )
    })
  } finally {
    for (const probe of probes) {
      // One that is still waiting for a connection of the server would go on to do so.
      const { stream } = probe.connection ?? {}
      void probe.end().catch(() => {})
      setImmediate(() => stream?.destroy())
    }
  }
}

async function areMixed(probes: readonly [Probe, Probe]): Promise<Pooling> {
  for (const probe of probes) await probe.connect()
  const seen = [new Set<string>(), new Set<string>()] as const
  for (let look = 0; look < LOOKS; look++) {
    for (const [i, probe] of probes.entries()) {
      const own = seen[i] as Set<string>
      const other = seen[1 - i] as Set<string>
      const id = await backendOf(probe)
      if (other.has(id) || own.add(id).size > 1) return 'transaction'
    }
  }
  return 'session'
}

function backendOf(probe: Probe): Promise<string> {
  return new Promise((resolve, reject) => {
    probe.query({ text: PID, types: AS_TEXT }, (error, result) => {
      if (error) reject(error)
      else resolve((result as { rows: { id: string }[] }).rows[0]?.id ?? '')
    })
  })
}

function likeIt(client: PgClient): Probe {
  const { host, port, user, database, password, ssl } = client as PgClient & Readonly<Record<string, unknown>>
  const Client = client.constructor as new (options: object) => Probe
  return new Client({ host, port, user, database, password, ssl, application_name: 'typeorm-named-lock' })
}
