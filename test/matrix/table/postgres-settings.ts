import type { Variation } from '../variation.js'

const kinds = ['postgres'] as const

const settings: readonly Readonly<Record<string, string | number>>[] = [
  { statement_timeout: "'300ms'" },
  { lock_timeout: "'50ms'" },
  { idle_in_transaction_session_timeout: "'5s'" },
  { idle_session_timeout: "'5s'" },
  { transaction_timeout: "'5s'" },
  { default_transaction_isolation: "'read uncommitted'" },
  { default_transaction_isolation: "'repeatable read'" },
  { default_transaction_isolation: "'serializable'" },
  { default_transaction_deferrable: 'on', default_transaction_isolation: "'serializable'" },
  { deadlock_timeout: "'10ms'" },
  { deadlock_timeout: "'1h'" },
  { log_lock_waits: 'on', deadlock_timeout: "'10ms'" },
  { log_statement: "'all'", log_min_messages: "'debug1'" },
  { log_min_duration_statement: 0, log_duration: 'on' },
  { client_min_messages: "'debug5'" },
  { client_min_messages: "'error'" },
  { track_activities: 'off' },
  { track_functions: "'all'", track_io_timing: 'on' },
  { standard_conforming_strings: 'off' },
  { backslash_quote: 'on', escape_string_warning: 'off', standard_conforming_strings: 'off' },
  { quote_all_identifiers: 'on' },
  { transform_null_equals: 'on' },
  { array_nulls: 'off' },
  { datestyle: "'German'" },
  { datestyle: "'Postgres, DMY'" },
  { datestyle: "'SQL, MDY'" },
  { intervalstyle: "'iso_8601'" },
  { timezone: "'Asia/Kathmandu'" },
  { lc_numeric: "'C'", lc_monetary: "'C'" },
  { bytea_output: "'escape'" },
  { extra_float_digits: -15 },
  { xmloption: "'document'", xmlbinary: "'hex'" },
  { client_encoding: "'LATIN1'" },
  { client_encoding: "'SQL_ASCII'" },
  { client_encoding: "'EUC_JP'" },
  { search_path: '"$user", public, pg_catalog' },
  { plan_cache_mode: "'force_generic_plan'" },
  { plan_cache_mode: "'force_custom_plan'" },
  { jit: 'on', jit_above_cost: 0 },
  { force_parallel_mode: 'on' },
  { debug_parallel_query: 'on' },
  { max_parallel_workers_per_gather: 0 },
  { parallel_setup_cost: 0, parallel_tuple_cost: 0, min_parallel_table_scan_size: 0 },
  { row_security: 'off' },
  { session_replication_role: "'replica'" },
  { synchronous_commit: 'off' },
  { work_mem: "'64kB'", temp_buffers: 100 },
  { enable_seqscan: 'off', enable_sort: 'off', enable_hashagg: 'off' },
  { enable_nestloop: 'off', enable_hashjoin: 'off', enable_mergejoin: 'off' },
  { from_collapse_limit: 1, join_collapse_limit: 1 },
  { geqo_threshold: 2 },
  { constraint_exclusion: 'on' },
  { cursor_tuple_fraction: 0 },
  { ignore_checksum_failure: 'on' },
  { gin_fuzzy_search_limit: 1 },
  { vacuum_cost_delay: 10 },
  { compute_query_id: "'on'" },
  { update_process_title: 'off' },
  { application_name: "'shop'" },
  { check_function_bodies: 'off' },
  { default_table_access_method: "'heap'", default_toast_compression: "'pglz'" },
  { allow_system_table_mods: 'on' },
  { debug_print_plan: 'on', log_planner_stats: 'on' },
]

/** Each would be called in the place of the server's own one, by a name without its schema. */
const TRAPS = [
  'pg_advisory_lock(bigint)',
  'pg_try_advisory_lock(bigint)',
  'pg_try_advisory_lock_shared(bigint)',
  'pg_advisory_unlock(bigint)',
  'pg_advisory_unlock_shared(bigint)',
  'pg_try_advisory_xact_lock(bigint)',
  'pg_advisory_xact_lock(bigint)',
  'pg_backend_pid()',
  'pg_cancel_backend(int)',
  'pg_terminate_backend(int)',
  'current_setting(text)',
  'set_config(text, text, bool)',
  'string_agg(text, text)',
  'pg_postmaster_start_time()',
  'pg_is_in_recovery()',
  'clock_timestamp()',
  'pg_current_wal_insert_lsn()',
].map(
  (signature) =>
    `CREATE FUNCTION traps.${signature} RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'the wrong function was called'; END$$`,
)

const FAST: ReadonlySet<string> = new Set(['statement_timeout 300ms', 'datestyle German'])

const named = (values: Readonly<Record<string, string | number>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${String(value).replaceAll("'", '')}`)
    .join(', ')

/** What every session of a database begins with: `ALTER DATABASE … SET`; and other ways to the same. */
export const postgresSettings: readonly Variation[] = [
  { name: 'nothing set', kinds, isFast: true },
  ...settings.map((database): Variation => {
    const name = named(database)
    // What is compiled or planned so takes long: longer than a session of a short lease waits for an answer.
    const isSlow = 'jit' in database || 'enable_seqscan' in database || 'enable_nestloop' in database
    return {
      name,
      kinds,
      database,
      ...(isSlow && { service: { lease: '30s' } }),
      ...(FAST.has(name) && { isFast: true }),
    }
  }),
  {
    name: "functions of the library's names before pg_catalog in search_path",
    kinds,
    database: { search_path: 'traps, pg_catalog, public' },
    prepare: ['CREATE SCHEMA traps', 'GRANT USAGE ON SCHEMA traps TO PUBLIC', ...TRAPS],
  },
  { name: 'default_transaction_read_only', kinds, database: { default_transaction_read_only: 'on' }, isReadOnly: true },
  { name: 'a role with few rights', kinds, user: 'ordinary', bothMajors: true },
  ...[
    { statement_timeout: "'400ms'", lock_timeout: "'100ms'" },
    { idle_session_timeout: "'4s'" },
    { default_transaction_isolation: "'serializable'" },
    { search_path: 'public' },
    { datestyle: "'German'" },
  ].map((role, at): Variation => ({
    name: `role with ${named(role)}`,
    kinds,
    user: 'ordinary',
    role,
    ...(at === 0 && { isFast: true }),
  })),
  ...[
    "SET statement_timeout = '400ms'",
    "SET idle_session_timeout = '4s'",
    "SET lock_timeout = '100ms'; SET datestyle = 'German'",
    "SET application_name = 'shop'",
    "SET client_encoding = 'LATIN1'",
    'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE',
    'PREPARE mine AS SELECT 1',
    'LISTEN mine',
    'CREATE TEMP TABLE mine (id int)',
    'SET ROLE pg_monitor; RESET ROLE',
  ].map((statement, at): Variation => ({
    name: `on each connection ${statement}`,
    kinds,
    session: [statement],
    ...(at === 0 && { isFast: true }),
  })),
]
