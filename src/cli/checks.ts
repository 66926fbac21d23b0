import type { Finding } from '../contract/lock-info.js'

/** What `named-lock check` has looked at, with the codes of the findings that it may bring. */
interface Check {
  readonly title: string
  readonly codes: readonly string[]
  /** Asked on sessions of its own, in this order; a problem in one of them, or before, ends the probe. */
  readonly probe?: 'always' | 'with lease'
}

const CHECKS: readonly Check[] = [
  {
    title: 'the server, its version and its cluster',
    codes: [
      'SERVER_NOT_SUPPORTED',
      'SERVER_NOT_TESTED',
      'SERVER_TOO_OLD',
      'GALERA_NODE',
      'GROUP_REPLICATION_MULTI_PRIMARY',
    ],
  },
  {
    title: 'a primary that can be written to',
    codes: ['SERVER_IS_REPLICA', 'SERVER_READ_ONLY', 'REPLICATION_NOT_RESTORED'],
  },
  {
    title: 'one session of the server for each connection',
    codes: ['PROXY_MULTIPLEXES', 'POOLER_REFUSES_TRANSACTIONS', 'POOLING_NOT_NEEDED'],
  },
  { title: "answers that the driver's options leave legible", codes: ['ANSWERS_NOT_LEGIBLE'] },
  { title: 'the lease: the server ends silent sessions', codes: ['LEASE_NOT_KEPT', 'LEASE_NOT_ENFORCED'] },
  { title: 'grants', codes: ['MISSING_GRANT_KILL', 'MISSING_GRANT_LIST', 'LIST_INCOMPLETE'] },
  {
    title: 'settings for transactions',
    codes: ['AUTOCOMMIT_OFF', 'COMPLETION_TYPE', 'ROLLBACK_ON_TIMEOUT', 'BINLOG_STATEMENT'],
  },
  { title: 'connections and room for locks', codes: ['POOL_TOO_SMALL', 'POOL_SIZE_NOT_A_NUMBER', 'LOCK_TABLE_SMALL'] },
  { title: 'all connections reach one server', codes: ['SEVERAL_SERVERS'], probe: 'always' },
  { title: 'two sessions exclude each other', codes: ['LOCKS_REFUSED', 'LOCKS_NOT_EXCLUSIVE'], probe: 'always' },
  { title: 'a try is answered at once', codes: ['TRY_BLOCKS'], probe: 'always' },
  { title: 'the server names the holder', codes: ['HOLDER_UNKNOWN'], probe: 'always' },
  { title: 'lock functions work inside expressions', codes: ['EXPRESSIONS_REFUSED'], probe: 'always' },
  { title: 'a closed session frees its locks', codes: ['LOCKS_OUTLIVE_SESSIONS'], probe: 'always' },
  { title: 'a silent session was really ended', codes: ['LEASE_NOT_ENFORCED'], probe: 'with lease' },
]

/** Findings after which the probe does not begin, or does not go on. */
const END_OF_PROBE: ReadonlySet<string> = new Set([
  'SERVER_NOT_SUPPORTED',
  'PROXY_MULTIPLEXES',
  'POOLER_REFUSES_TRANSACTIONS',
  'ANSWERS_NOT_LEGIBLE',
  'PROBE_INCOMPLETE',
])
/** The same for questions of the probe itself: those behind are not asked. */
const LAST_QUESTION: ReadonlySet<string> = new Set(['SEVERAL_SERVERS', 'LOCKS_REFUSED', 'LOCKS_NOT_EXCLUSIVE'])

export interface CheckResult {
  readonly check: string
  readonly result: 'ok' | Finding['severity'] | 'not checked'
  /** The codes of what was found. */
  readonly codes: readonly string[]
}

/** All codes that are known here. */
export const checkedCodes: readonly string[] = CHECKS.flatMap(({ codes }) => codes)

/** What each check has found, in a fixed order. */
export function resultsOf(findings: readonly Finding[], withLease: boolean): CheckResult[] {
  let isProbed = !findings.some(({ code }) => END_OF_PROBE.has(code))
  return CHECKS.filter(({ probe }) => probe !== 'with lease' || withLease).map(({ title, codes, probe }) => {
    const found = findings.filter(({ code }) => codes.includes(code))
    const isAsked = !probe || isProbed || found.length > 0
    if (probe && found.some(({ code }) => LAST_QUESTION.has(code))) isProbed = false
    const worst = (['error', 'warning', 'info'] as const).find((one) => found.some(({ severity }) => severity === one))
    return { check: title, result: isAsked ? (worst ?? 'ok') : 'not checked', codes: found.map(({ code }) => code) }
  })
}

/** A line for each check. */
export function resultsText(results: readonly CheckResult[]): string {
  const widest = Math.max(...results.map(({ result }) => result.length))
  return results
    .map(
      ({ check, result, codes }) =>
        `${result.padEnd(widest)}  ${check}${codes.length > 0 ? `: ${codes.join(', ')}` : ''}`,
    )
    .join('\n')
}
