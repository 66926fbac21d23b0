import { NamedLockConfigurationError } from '../../contract/errors.js'
import { because } from '../../contract/troubleshooting.js'
import { singleValue } from '../../typeorm/raw-connection.js'
import { monotonicNow, setImmediate, sleep } from '../../util/clock.js'
import { within } from '../../util/within.js'
import { AS_TEXT } from './pg-statement.js'
import type { Ask } from '../../typeorm/raw-connection.js'
import type { PgClient } from './pg-wire.js'

/** A second client like the first, as long as it is needed. */
interface Probe extends PgClient {
  connect(): Promise<unknown>
}

/** What is between a client and its server, as far as locks are concerned. */
export type Pooling = 'none' | 'session' | 'transaction'

/** How often, and how far apart in milliseconds, the first client asks while the second one gets no answer. */
const TURNS = 6
const TURN = 50
const PID = 'SELECT pg_catalog.pg_backend_pid()::text AS id'
/** How often two clients check which backend they have reached. */
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
 * A pooler such as PgBouncer makes up the process id that a client receives, so a client whose backend says another one is behind
 * a pooler, and one that knows no process id (pg-native's) may be. With session pooling that does no harm: each client has a connection
 * of the server for itself. With transaction or statement pooling every statement may run on another one. Two clients find that out: when
 * both reach one and the same backend, or one of them several, nothing that lasts longer than a transaction is theirs. Idle poolers
 * give out the connection that came back last, or all of them in turn, so either is seen soon.
 *
 * @param backend What the backend says to be its process id.
 * @param ask Asks on the client's own connection: then it is one of the two. Left out where the client is in a transaction, which
 * keeps its connection under every kind of pooling and proves nothing.
 */
export async function poolingOf(client: PgClient, backend: string | undefined, ask: Ask | undefined): Promise<Pooling> {
  const { processID, host, port, database, user } = client
  if (processID !== undefined && processID !== null && String(processID) === backend) return 'none'
  const key = JSON.stringify([host, port, database, user])
  const known = found.get(key)
  if (known && monotonicNow() - known.at < FRESH) return known.pooling
  const pooling = findOut(client, ask).catch((error: unknown) => {
    // All connections are in use: what was so a minute ago has to do.
    if (known) return known.pooling
    found.delete(key)
    throw error
  })
  found.set(key, { pooling, at: monotonicNow() })
  return pooling
}

/** @throws NamedLockConfigurationError where a lock of a session would be the next client's. */
export async function refuseTransactionPooling(
  client: PgClient,
  backend: string | undefined,
  ask: Ask | undefined,
): Promise<void> {
  if ((await poolingOf(client, backend, ask)) !== 'transaction') return
  throw new NamedLockConfigurationError(
    because(
      'pooler',
      'A pooler (such as PgBouncer) with transaction or statement pooling is between the application and PostgreSQL: statements of one client ' +
        "run on different connections, and a lock would belong to the next client's. Connect past the pooler, or use session pooling, if need be " +
        "for a DataSource of its own for locks; or use pooling: 'transaction' where locks that live and end with a transaction are enough.",
    ),
  )
}

async function findOut(client: PgClient, ask: Ask | undefined): Promise<Pooling> {
  const probes = ask ? [likeIt(client)] : [likeIt(client), likeIt(client)]
  for (const probe of probes) probe.on('error', () => {})
  const [last] = probes.slice(-1) as [Probe]
  const first = ask ? async () => singleValue(await ask(PID)) : () => backendOf(probes[0] as Probe)
  try {
    const look = async (): Promise<Pooling> => {
      for (const probe of probes) await probe.connect()
      return areMixed(first, () => backendOf(last))
    }
    return await within(look(), PATIENCE, undefined, () => {
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

type AskBackend = () => Promise<string | undefined>

/**
 * A pooler that pools sessions may have no connection left for the second client: all of them are those of clients like the first.
 * That is an answer, too. Under transaction pooling the second client, which asked before, would have been served first.
 */
async function areMixed(first: AskBackend, second: AskBackend): Promise<Pooling> {
  const seen = [new Set<string | undefined>(), new Set<string | undefined>()] as const
  for (let look = 0; look < LOOKS; look++) {
    let isAnswered = false
    const answer = second().finally(() => (isAnswered = true))
    answer.catch(() => {})
    for (let turn = 0; turn === 0 || (turn < TURNS && !isAnswered); turn++) {
      seen[0].add(await first())
      if (!isAnswered) await Promise.race([answer, sleep(TURN)])
    }
    if (!isAnswered) return 'session'
    seen[1].add(await answer)
    const backends = new Set([...seen[0], ...seen[1]])
    if (seen[0].size > 1 || seen[1].size > 1 || backends.size < 2) return 'transaction'
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
  const { host, port, user, database, password, ...rest } = client as PgClient & Readonly<Record<string, unknown>>
  // pg-native's client keeps it there only.
  const ssl = rest.ssl ?? client.connectionParameters?.ssl
  const Client = client.constructor as new (options: object) => Probe
  // A name of its own would become that of the next client without a name.
  const { application_name, fallback_application_name } = client.connectionParameters ?? {}
  return new Client({ host, port, user, database, password, ssl, application_name, fallback_application_name })
}
