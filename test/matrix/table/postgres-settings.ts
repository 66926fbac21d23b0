import type { Variation } from '../variation.js'

const kinds = ['postgres'] as const

/** What every session of a database begins with: `ALTER DATABASE … SET`. */
export const postgresSettings: readonly Variation[] = [
  { name: 'nothing set', kinds, isFast: true },
  ...["'read uncommitted'", "'read committed'", "'repeatable read'", "'serializable'"].map((level): Variation => ({
    name: `default_transaction_isolation ${level}`,
    kinds,
    database: { default_transaction_isolation: level },
  })),
  { name: 'default_transaction_read_only', kinds, database: { default_transaction_read_only: 'on' }, isReadOnly: true },
  { name: 'lock_timeout 50ms', kinds, database: { lock_timeout: "'50ms'" } },
  { name: 'statement_timeout 300ms', kinds, database: { statement_timeout: "'300ms'" }, isFast: true },
  { name: 'standard_conforming_strings off', kinds, database: { standard_conforming_strings: 'off' } },
  { name: 'DateStyle German', kinds, database: { datestyle: "'German'" } },
  { name: 'bytea_output escape', kinds, database: { bytea_output: "'escape'" } },
  { name: 'extra_float_digits -15', kinds, database: { extra_float_digits: -15 } },
]
