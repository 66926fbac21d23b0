/**
 * The driver's connection behind a QueryRunner, as sessions use it. Sessions bypass `QueryRunner.query` because of its
 * logger, its subscribers and a client-side timeout that leaves locks behind (mysql2's PROTOCOL_SEQUENCE_TIMEOUT: the
 * server continues and grants the lock to a connection that is back in the pool).
 */
export interface RawConnection {
  /** Plain text is a tenth faster with mysql2 than a statement with options; its rows are objects. */
  query(statement: string | { sql: string; rowsAsArray: true }, callback: RawCallback): unknown
  on(event: 'end' | 'error', listener: (error?: unknown) => void): unknown
  removeListener(event: 'end' | 'error', listener: (error?: unknown) => void): unknown
  /** Missing in some drivers. */
  prepare?(sql: string, callback: (error: Error | null, statement?: PreparedStatement) => void): unknown
}

/** A statement that the server has already parsed. */
export interface PreparedStatement {
  execute(parameters: readonly unknown[], callback: RawCallback): unknown
  close(): unknown
}

export type RawCallback = (error: Error | null, rows?: unknown) => void

/** Sends one statement and resolves to its rows. */
export type Ask = (sql: string) => Promise<unknown>

/** The members of a QueryRunner that sessions use. */
export interface RunnerLike {
  connect(): Promise<RawConnection>
  release(): Promise<void>
  readonly manager?: unknown
}

/** The first column of the first row, as text; undefined for NULL or nothing. */
export function singleValue(rows: unknown): string | undefined {
  const row = (rows as readonly Record<string, unknown>[] | undefined)?.[0]
  // A loop avoids allocating a list of columns: every lock runs this twice.
  for (const column in row) return row[column] === 1 ? '1' : textOf(row[column])
  return undefined
}

/** The first row as texts, in the order of its columns. */
export function singleRow(rows: unknown): (string | undefined)[] {
  const row = (rows as readonly (unknown[] | Record<string, unknown>)[] | undefined)?.[0] ?? []
  return (Array.isArray(row) ? row : Object.values(row)).map(textOf)
}

/**
 * The text of a value in a row. A value without a text, such as true or a date, becomes one that differs from every
 * answer of a lock.
 */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return undefined
  if (typeof value === 'number' || typeof value === 'bigint' || Buffer.isBuffer(value)) return value.toString()
  return `(no text: ${typeof value})`
}
