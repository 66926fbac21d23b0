import { NamedLockConfigurationError } from '../contract/errors.js'
import type { Finding } from '../contract/lock-info.js'
import { because } from '../contract/troubleshooting.js'

/*
 * Engines that speak the protocol of MySQL or PostgreSQL and are not one of them. The rule: the promise of one holder stands on what the
 * server does with its lock functions and with the lease, so an engine that is known to break it is refused when the first session opens,
 * and `check()` reports it with the same words. What is not known here is found out by behaviour: by each session of MySQL's family when
 * it opens (mysql-session.ts), and by the probe of `check()` (inspect/probe.ts).
 */

/** Whose protocol it speaks. */
export type Family = 'mysql' | 'postgres'

interface Engine {
  readonly name: string
  readonly family: Family
  /** Found in the version text. Its first group is the version of the engine, where that matters. */
  readonly pattern: RegExp
  /** What it does wrong: goes on after "it is <name>: ". */
  readonly wrong: string
  readonly remedy: string
  /** The first version that is not refused. It is not tested either: `check()` warns of it. */
  readonly since?: readonly number[]
  /** What is to be said of such a version. */
  readonly caveat?: string
  /** Its locks are sound, but it keeps no lease: fit with `allowNoLease`. */
  readonly lacksLeaseOnly?: true
}

const ELSEWHERE = 'Use a MySQL or MariaDB server for locks: a DataSource of its own is enough.'
const ELSEWHERE_POSTGRES = 'Use a PostgreSQL server for locks: a DataSource of its own is enough.'

const ENGINES: readonly Engine[] = [
  {
    name: 'TiDB',
    family: 'mysql',
    pattern: /\bTiDB\b/i,
    wrong:
      'a try for a lock that is held takes a second there, IS_USED_LOCK does not give the holder, and a lock ends unnoticed after an hour ' +
      '(before version 6.2 the lock functions do nothing)',
    remedy: ELSEWHERE,
  },
  {
    name: 'Vitess (PlanetScale)',
    family: 'mysql',
    pattern: /\b(?:vitess|planetscale)\b/i,
    wrong:
      'it refuses GET_LOCK inside of an expression, ignores SET wait_timeout, and ends the connection of a lock after 30 seconds without a query',
    remedy: ELSEWHERE,
  },
  {
    name: 'MatrixOne',
    family: 'mysql',
    pattern: /\bMatrixOne\b/i,
    wrong:
      'a lock outlives the connection that holds it, or lives in one of its processes only, depending on its version',
    remedy: ELSEWHERE,
  },
  {
    name: 'OceanBase',
    family: 'mysql',
    pattern: /OceanBase\D*(\d+(?:\.\d+)*)/i,
    wrong: 'it has no lock functions before version 4.3.1',
    remedy: `Use OceanBase 4.3.1 or later. Or: ${ELSEWHERE}`,
    since: [4, 3, 1],
    caveat: 'its locks are rows of tables, and waits are rounded to whole seconds',
  },
  {
    name: 'Dolt',
    family: 'mysql',
    pattern: /\bDolt\b/i,
    wrong: 'it stores wait_timeout but never ends a silent connection, so that the locks of a vanished client stay',
    remedy: 'Accept that with allowNoLease: true, or use a MySQL or MariaDB server for locks.',
    lacksLeaseOnly: true,
  },
  {
    name: 'CockroachDB',
    family: 'postgres',
    pattern: /CockroachDB/i,
    wrong: 'its advisory locks of a session lock nothing',
    remedy: ELSEWHERE_POSTGRES,
  },
  {
    name: 'YugabyteDB',
    family: 'postgres',
    pattern: /yb_silence_advisory_locks_not_supported_error/,
    wrong: 'yb_silence_advisory_locks_not_supported_error is on, with which its advisory locks lock nothing',
    remedy: `Turn that setting off, with YugabyteDB 2025.1 or later. Or: ${ELSEWHERE_POSTGRES}`,
  },
  {
    name: 'YugabyteDB',
    family: 'postgres',
    pattern: /-YB-(\d+(?:\.\d+)*)/,
    wrong: 'it has no advisory locks before version 2025.1',
    remedy: `Use YugabyteDB 2025.1 or later. Or: ${ELSEWHERE_POSTGRES}`,
    since: [2025, 1],
    caveat: 'a lock may stay after a wait for it has timed out, and it reports deadlocks that are none',
  },
  {
    name: 'Amazon Redshift',
    family: 'postgres',
    pattern: /Redshift/i,
    wrong: 'it has no advisory locks',
    remedy: ELSEWHERE_POSTGRES,
  },
  {
    name: 'Materialize',
    family: 'postgres',
    pattern: /Materialize/i,
    wrong: 'it has no advisory locks',
    remedy: ELSEWHERE_POSTGRES,
  },
  {
    name: 'RisingWave',
    family: 'postgres',
    pattern: /RisingWave/i,
    wrong: 'it has no advisory locks',
    remedy: ELSEWHERE_POSTGRES,
  },
]

/** The finding about the engine of that version text; undefined for a server that is what it seems. */
export function engineFinding(family: Family, version: string): Finding | undefined {
  const engine = engineOf(family, version)
  if (!engine) return undefined
  const { name, wrong, remedy, caveat } = engine
  const said = `The server is ${name} (${version})`
  if (engine.lacksLeaseOnly) {
    return { code: 'LEASE_NOT_ENFORCED', severity: 'error', message: `${said}: ${wrong}.`, remedy }
  }
  if (caveat !== undefined && !isBefore(engine, version)) {
    return {
      code: 'SERVER_NOT_TESTED',
      severity: 'warning',
      message: `${said}. It has lock functions of its own, which were not tested with this library: ${caveat}.`,
      remedy: 'Test locking, waiting and the loss of a connection on it before you rely on them.',
    }
  }
  return { code: UNFIT, severity: 'error', message: `${said}: ${wrong}.`, remedy }
}

/** The code of a server that keeps no promise about locks, whatever is set. */
export const UNFIT = 'SERVER_NOT_SUPPORTED'

/** @throws NamedLockConfigurationError for an engine whose locks cannot be relied on. */
export function refuseEngine(family: Family, version: string): void {
  const finding = engineFinding(family, version)
  if (finding?.code === UNFIT) throw unfit(finding)
}

/** The refusal of a server: the same words as in `check()`. */
export function unfit({
  code,
  message,
  remedy,
}: Pick<Finding, 'code' | 'message' | 'remedy'>): NamedLockConfigurationError {
  const text = `The server cannot be used for named locks (${code}). ${message} ${remedy}`
  return new NamedLockConfigurationError(because('unfit-server', text))
}

/** False for an engine that stores the setting of the lease, answers with it, and ends no session by it. */
export function enforcesLease(family: Family, version: string): boolean {
  return engineOf(family, version)?.lacksLeaseOnly !== true
}

function engineOf(family: Family, version: string): Engine | undefined {
  return ENGINES.find((engine) => engine.family === family && engine.pattern.test(version))
}

function isBefore({ pattern, since = [] }: Engine, version: string): boolean {
  const parts = (pattern.exec(version)?.[1] ?? '').split('.').map(Number)
  const at = since.findIndex((part, i) => part !== (parts[i] ?? 0))
  return at >= 0 && (parts[at] ?? 0) < (since[at] as number)
}
