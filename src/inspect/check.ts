import { findServer } from '../dialect/choose-dialect.js'
import type { Dialect } from '../dialect/dialect.js'
import type { Finding } from '../contract/lock-info.js'
import type { Sessions } from '../session/sessions.js'
import type { Settings } from '../contract/settings.js'
import { within } from '../util/within.js'
import { Probe } from './probe.js'
import { findings as probeFindings } from './probe-findings.js'

const ORDER: readonly Finding['severity'][] = ['error', 'warning', 'info']

export function worstFirst(findings: Finding[]): Finding[] {
  return findings.sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity))
}

/** The findings about the server, the DataSource's options and the pool, and the dialect of the server. */
export async function check(
  sessions: Sessions,
  settings: Settings,
  poolSize: number,
): Promise<{ readonly findings: Finding[]; readonly dialect: Dialect }> {
  return sessions.inspect(async (ask, connection) => {
    // No session may open on this server, and then it is this check that has to say why.
    const found = sessions.isDialectSure ? undefined : await findServer(ask)
    const dialect = found?.dialect ?? sessions.dialect
    const ofServer = await dialect.check(ask, settings.lease, connection)
    return { findings: [...ofServer, ...sessions.checkPool(), ...checkPool(settings, poolSize)], dialect }
  })
}

/** Where no answer of a probe would mean anything. */
const HOPELESS: ReadonlySet<string> = new Set([
  'SERVER_NOT_SUPPORTED',
  'PROXY_MULTIPLEXES',
  'POOLER_REFUSES_TRANSACTIONS',
  'ANSWERS_NOT_LEGIBLE',
])

/** How long the probe may take, in milliseconds; longer with the lease. */
const PATIENCE = { connect: 3_000, answer: 5_000, all: 20_000, lease: 10_000 }

/** The findings of the probe on two sessions, in addition to those that were found before. It never rejects. */
export async function probe(
  sessions: Sessions,
  dialect: Dialect,
  before: readonly Finding[],
  withLease: boolean,
): Promise<Finding[]> {
  // Locks in memory are those of this process.
  if (dialect.keepsLocksForever || before.some(({ code }) => HOPELESS.has(code))) return []
  const isLeaseKnown = before.some(({ code }) => code === 'LEASE_NOT_ENFORCED' || code === 'LEASE_NOT_KEPT')
  const { lease } = sessions
  const running = sessions.beside(dialect, 3, PATIENCE, (open) => {
    return new Probe(dialect, open, lease).run(withLease && !isLeaseKnown)
  })
  const limit = PATIENCE.all + (withLease ? PATIENCE.lease : 0)
  return within(running, limit, undefined, () => new Error(`it took more than ${limit / 1000} s`)).catch(
    (error: unknown) => [probeFindings.PROBE_INCOMPLETE(error instanceof Error ? error.message : String(error))],
  )
}

export function checkPool({ connections, maxSessions }: Settings, poolSize: number): Finding[] {
  const most = Math.min(maxSessions, Math.floor(poolSize / 2))
  if (connections === 'own' || most >= maxSessions) return []
  if (poolSize < 2) {
    const message = `The DataSource's pool has ${poolSize} connection: only runMigrations() works there, and all other calls that lock are refused.`
    return [{ code: 'POOL_TOO_SMALL', severity: 'error', message, remedy: remedyFor(maxSessions) }]
  }
  return [
    {
      code: 'POOL_TOO_SMALL',
      severity: most < 2 ? 'warning' : 'info',
      message:
        `The DataSource's pool has ${poolSize} connections, of which locks may use ${most}` +
        (most < 2
          ? ': none of them can wait, so locks that other processes hold are polled for. transaction() and dedicated locks need one connection each beside them.'
          : ` (maxSessions is ${maxSessions}): few can wait at the same time, further waits are polled for.`),
      remedy: remedyFor(maxSessions),
    },
  ]
}

function remedyFor(maxSessions: number): string {
  return `Set poolSize to ${2 * maxSessions} or more, or use connections: 'own'.`
}
