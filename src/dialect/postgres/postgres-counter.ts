import { NamedLockConfigurationError } from '../../contract/errors.js'
import type { CounterStatements } from '../dialect.js'
import { WAITS_FOR_LOG } from './postgres-expressions.js'

const UNDEFINED_TABLE = '42P01'
/** In bytes. */
export const LONGEST_NAME = 63

/** Fencing tokens from a table. The answer waits until the record of the counter is on disk. */
export function postgresCounter(table: string): CounterStatements {
  const name = quotedTable(table)
  return {
    create: `CREATE TABLE IF NOT EXISTS ${name} (lock_key VARCHAR(64) NOT NULL PRIMARY KEY, token BIGINT NOT NULL)`,
    raise: (key, floor) =>
      `INSERT INTO ${name} AS t (lock_key,token) VALUES ('${key.replaceAll("'", "''")}',${floor + 1n}) ` +
      `ON CONFLICT (lock_key) DO UPDATE SET token=GREATEST(t.token,${floor})+1 ` +
      `RETURNING CASE WHEN ${WAITS_FOR_LOG} THEN token::text END`,
    isMissing: isMissingTable,
  }
}

/** A table's name, which may come with its schema. */
export function quotedTable(table: string): string {
  return table.split('.').map(quoted).join('.')
}

function quoted(name: string): string {
  if (Buffer.byteLength(name) <= LONGEST_NAME) return `"${name}"`
  throw new NamedLockConfigurationError(
    `The name of the table '${name}' has ${Buffer.byteLength(name)} bytes. PostgreSQL would cut it off after ${LONGEST_NAME}.`,
  )
}

export function isMissingTable(error: unknown): boolean {
  return (error as { code?: unknown }).code === UNDEFINED_TABLE
}
