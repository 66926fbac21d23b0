import type { Variation } from '../variation.js'

const all = ['mysql', 'mariadb', 'postgres'] as const

const options: readonly [string, Variation['service'] & object, Partial<Variation>?][] = [
  ["connections 'own'", { connections: 'own' }, { bothMajors: true, isFast: true }],
  ['maxSessions 1', { maxSessions: 1 }],
  ['handOver 0', { handOver: { times: 0 } }],
  ['handOver without end', { handOver: { times: Infinity, for: '1h' } }],
  ['namespace false', { namespace: false }],
  [
    'namespace of many words',
    { namespace: 'Größe 🍎.x' },
    { without: { inspection: 'shortened keys tell no names to others' } },
  ],
  ['lease 1s', { lease: '1s' }],
  ['lease 1h', { lease: '1h' }],
  ['maxLocks 50', { maxLocks: 50 }],
  ['fencing by a table', { fencing: { table: 'tokens' } }],
  ["insideTransaction 'allow'", { insideTransaction: 'allow' }],
  ['ambient transactions', { ambientTransactions: true }, { bothMajors: true }],
]

/** Options of the service itself. */
export const serviceOptions: readonly Variation[] = options.map(([name, service, more]) => ({
  name: `service ${name}`,
  kinds: all,
  service,
  ...more,
}))

/** PostgreSQL behind a PgBouncer. */
export const poolers: readonly Variation[] = [
  { name: 'PgBouncer, sessions pooled', kinds: ['postgres'], pgBouncer: 'session', bothMajors: true },
  {
    name: 'PgBouncer, transactions pooled',
    kinds: ['postgres'],
    pgBouncer: 'transaction',
    service: { pooling: 'transaction' },
    bothMajors: true,
  },
  {
    name: "PgBouncer, transactions pooled, connections 'own'",
    kinds: ['postgres'],
    pgBouncer: 'transaction',
    service: { pooling: 'transaction', connections: 'own' },
  },
  { name: 'PgBouncer, transactions pooled, not told', kinds: ['postgres'], pgBouncer: 'transaction', refused: /pool/ },
]
