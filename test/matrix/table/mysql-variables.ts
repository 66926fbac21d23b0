import type { Variation } from '../variation.js'

const both = ['mysql', 'mariadb'] as const

/** Variables that every session inherits: `SET GLOBAL`. */
export const mysqlVariables: readonly Variation[] = [
  { name: 'nothing set', kinds: both, isFast: true },
  ...['', 'ANSI', 'NO_BACKSLASH_ESCAPES', 'PIPES_AS_CONCAT', 'ANSI_QUOTES', 'TRADITIONAL', 'HIGH_NOT_PRECEDENCE'].map(
    (mode): Variation => ({
      name: `sql_mode '${mode}'`,
      kinds: both,
      globals: { sql_mode: `'${mode}'` },
      ...(mode === 'ANSI' && { isFast: true }),
    }),
  ),
  ...['ORACLE', 'MSSQL', 'DB2', 'POSTGRESQL', 'SIMULTANEOUS_ASSIGNMENT'].map((mode): Variation => ({
    name: `sql_mode ${mode}`,
    kinds: ['mariadb'],
    globals: { sql_mode: `'${mode}'` },
  })),
  ...['READ-UNCOMMITTED', 'READ-COMMITTED', 'REPEATABLE-READ', 'SERIALIZABLE'].flatMap((level) =>
    both.map((kind): Variation => ({
      name: `isolation ${level}`,
      kinds: [kind],
      globals: { [kind === 'mysql' ? 'transaction_isolation' : 'tx_isolation']: `'${level}'` },
      ...(level === 'SERIALIZABLE' && { isFast: true }),
    })),
  ),
  { name: 'lock_wait_timeout 1', kinds: both, globals: { lock_wait_timeout: 1 } },
  { name: 'innodb_lock_wait_timeout 1', kinds: both, globals: { innodb_lock_wait_timeout: 1 } },
  { name: 'wait_timeout 2', kinds: both, globals: { wait_timeout: 2 } },
  { name: 'interactive_timeout 2', kinds: both, globals: { interactive_timeout: 2 } },
  { name: 'net_read_timeout 1', kinds: both, globals: { net_read_timeout: 1, net_write_timeout: 1 } },
  { name: 'max_execution_time 200', kinds: ['mysql'], globals: { max_execution_time: 200 }, isFast: true },
  { name: 'max_statement_time 0.5', kinds: ['mariadb'], globals: { max_statement_time: 0.5 }, isFast: true },
  { name: 'sql_select_limit 1', kinds: both, globals: { sql_select_limit: 1 } },
  { name: 'sql_safe_updates', kinds: both, globals: { sql_safe_updates: 1 } },
  { name: 'sql_auto_is_null', kinds: both, globals: { sql_auto_is_null: 1 } },
  { name: 'max_join_size 1000', kinds: ['mysql'], globals: { max_join_size: 1000 } },
  { name: 'max_sort_length 8', kinds: both, globals: { max_sort_length: 8 } },
  { name: 'group_concat_max_len 4', kinds: both, globals: { group_concat_max_len: 4 } },
  { name: 'div_precision_increment 0', kinds: both, globals: { div_precision_increment: 0 } },
  { name: 'time_zone +13:00', kinds: both, globals: { time_zone: `'+13:00'` } },
  { name: 'general_log', kinds: both, globals: { general_log: 1 } },
  { name: 'slow_query_log of everything', kinds: both, globals: { slow_query_log: 1, long_query_time: 0 } },
  { name: 'binlog_format STATEMENT without a log', kinds: both, globals: { binlog_format: `'STATEMENT'` } },
  { name: 'max_prepared_stmt_count 0', kinds: both, globals: { max_prepared_stmt_count: 0 }, isFast: true },
  { name: 'collation_connection utf8mb4_bin', kinds: both, globals: { collation_connection: 'utf8mb4_bin' } },
  { name: 'query_cache_type ON', kinds: ['mariadb'], globals: { query_cache_type: 1, query_cache_size: 1048576 } },
]
