import type { Variation } from '../variation.js'

const kinds = ['postgres'] as const
const args = (...settings: string[]): string[] => settings.flatMap((setting) => ['-c', setting])

/** What a server is started with, and what a database is created with. */
export const postgresServers: readonly Variation[] = [
  {
    name: 'max_connections 24',
    kinds,
    args: args('max_connections=24', 'superuser_reserved_connections=1'),
    finds: ['LOCK_TABLE_SMALL'],
  },
  {
    name: 'max_locks_per_transaction 10',
    kinds,
    args: args('max_locks_per_transaction=10', 'max_connections=60'),
    finds: ['LOCK_TABLE_SMALL'],
  },
  { name: 'max_prepared_transactions 5', kinds, args: args('max_prepared_transactions=5') },
  {
    name: 'wal_level logical, everything logged',
    kinds,
    args: args('wal_level=logical', 'log_statement=all', 'log_min_duration_statement=0'),
  },
  { name: 'autovacuum off, shared_buffers 1MB', kinds, args: args('autovacuum=off', 'shared_buffers=1MB') },
  { name: 'encoding LATIN1', kinds, created: "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0" },
  { name: 'encoding SQL_ASCII', kinds, created: "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0" },
  { name: 'encoding EUC_JP', kinds, created: "ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0" },
]
