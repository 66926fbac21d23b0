import type { Variation } from '../variation.js'

const both = ['mysql', 'mariadb'] as const

/** What a server is started with. Each row starts a server. */
export const mysqlServers: readonly Variation[] = [
  { name: 'lower_case_table_names 1', kinds: both, args: ['--lower-case-table-names=1'] },
  { name: 'max_connections 24', kinds: both, args: ['--max-connections=24'] },
  { name: 'innodb_rollback_on_timeout', kinds: both, args: ['--innodb-rollback-on-timeout=ON'] },
  {
    name: 'character set utf16',
    kinds: both,
    args: ['--character-set-server=utf16', '--collation-server=utf16_general_ci'],
  },
  {
    name: 'character set latin1, whatever clients say',
    kinds: ['mariadb'],
    args: ['--character-set-server=latin1', '--skip-character-set-client-handshake'],
  },
  { name: 'names of hosts are looked up', kinds: both, args: ['--skip-name-resolve=0'] },
  { name: 'a binary log of rows', kinds: both, args: ['--log-bin=binlog', '--server-id=1', '--binlog-format=ROW'] },
  {
    name: 'a binary log of statements',
    kinds: both,
    args: ['--log-bin=binlog', '--server-id=1', '--binlog-format=STATEMENT'],
    finds: ['BINLOG_STATEMENT'],
  },
  {
    name: 'performance_schema OFF',
    kinds: ['mysql'],
    args: ['--performance-schema=OFF'],
    without: { inspection: 'the server lists no locks' },
  },
  {
    name: 'the instrument of locks off',
    kinds: ['mysql'],
    args: ['--performance-schema-instrument=wait/lock/metadata/sql/mdl=OFF'],
    without: { inspection: 'the server lists no locks' },
  },
  { name: 'thread_handling pool-of-threads', kinds: ['mariadb'], args: ['--thread-handling=pool-of-threads'] },
  {
    name: 'thread_handling pool-of-threads of one group',
    kinds: ['mariadb'],
    args: ['--thread-handling=pool-of-threads', '--thread-pool-size=1', '--thread-pool-oversubscribe=1'],
  },
  { name: 'metadata_lock_info', kinds: ['mariadb'], args: ['--plugin-load-add=metadata_lock_info'] },
  {
    name: 'table_open_cache 10',
    kinds: both,
    args: ['--table-open-cache=10', '--thread-cache-size=0'],
  },
]
