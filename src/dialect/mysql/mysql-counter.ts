import { NamedLockConfigurationError } from '../../contract/errors.js'
import type { CounterStatements } from '../dialect.js'
import { hexLiteral } from './sql-literal.js'

const ER_NO_SUCH_TABLE = 1146
/** In characters. */
const LONGEST_NAME = 64

/** Fencing tokens from a table: LAST_INSERT_ID(…) keeps the number that a statement has made of a counter. */
export function mysqlCounter(table: string): CounterStatements {
  const name = quotedTable(table)
  return {
    create:
      `CREATE TABLE IF NOT EXISTS ${name} (lock_key VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, ` +
      'token BIGINT UNSIGNED NOT NULL) ENGINE=InnoDB',
    raise: (key, floor) =>
      `INSERT INTO ${name} (lock_key,token) VALUES (${hexLiteral(key)},LAST_INSERT_ID(${floor + 1n})) ` +
      `ON DUPLICATE KEY UPDATE token=LAST_INSERT_ID(GREATEST(token,${floor})+1)`,
    last: 'SELECT CAST(LAST_INSERT_ID() AS CHAR) AS t',
    commit: 'COMMIT',
    isMissing: isMissingTable,
  }
}

/** A table's name, which may come with its schema. */
export function quotedTable(table: string): string {
  return table.split('.').map(quoted).join('.')
}

function quoted(name: string): string {
  if (name.length <= LONGEST_NAME) return `\`${name}\``
  throw new NamedLockConfigurationError(
    `The name of the table '${name}' has ${name.length} characters. The server takes ${LONGEST_NAME}.`,
  )
}

export function isMissingTable(error: unknown): boolean {
  return (error as { errno?: number }).errno === ER_NO_SUCH_TABLE
}
