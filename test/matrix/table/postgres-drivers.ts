import type { Variation } from '../variation.js'

const kinds = ['postgres'] as const

/** Every value as what a careless application makes of it. */
const parsers = (parse: (text: string) => unknown): object => ({ getTypeParser: () => parse })

const options: readonly [string, Readonly<Record<string, unknown>>, Partial<Variation>?][] = [
  ['statement_timeout 400', { statement_timeout: 400 }, { isFast: true }],
  ['query_timeout 2000', { query_timeout: 2_000 }],
  ['lock_timeout 100', { lock_timeout: 100 }],
  ['idle_in_transaction_session_timeout 3000', { idle_in_transaction_session_timeout: 3_000 }],
  ['keepAlive', { keepAlive: true, keepAliveInitialDelayMillis: 1_000 }],
  ['idleTimeoutMillis 200', { idleTimeoutMillis: 200 }],
  ['idleTimeoutMillis 0', { idleTimeoutMillis: 0 }],
  ['maxUses 3', { maxUses: 3 }],
  ['maxLifetimeSeconds 1', { maxLifetimeSeconds: 1 }],
  ['min 2', { min: 2 }],
  ['max 4', { max: 4 }],
  ['allowExitOnIdle', { allowExitOnIdle: true }],
  ['connectionTimeoutMillis 5000', { connectionTimeoutMillis: 5_000 }],
  ['application_name', { application_name: 'shop' }],
  ['fallback_application_name', { fallback_application_name: 'shop' }],
  ['client_encoding LATIN1', { client_encoding: 'LATIN1' }],
  ['options -c datestyle', { options: '-c datestyle=German -c intervalstyle=iso_8601' }],
  ['options -c statement_timeout', { options: '-c statement_timeout=400 -c lock_timeout=100' }],
  ['options -c search_path', { options: '-c search_path=public' }],
  ['options -c plan_cache_mode', { options: '-c plan_cache_mode=force_generic_plan' }],
  ['options -c idle_session_timeout', { options: '-c idle_session_timeout=4000' }],
  ['types that leave text as it is', { types: parsers((text) => text) }],
  ['ssl off', { ssl: false }],
]

/** Options of pg and its pool: the DataSource's `extra`. */
export const postgresDrivers: readonly Variation[] = options.map(([name, extra, more]) => ({
  name: `pg ${name}`,
  kinds,
  extra,
  bothMajors: true,
  ...more,
}))
