/**
 * The driver's connection behind a QueryRunner, as sessions use it: raw, because `QueryRunner.query` goes through the
 * logger, the subscribers and a client-side timeout that leaves locks behind (mysql2's PROTOCOL_SEQUENCE_TIMEOUT: the
 * server goes on and grants the lock to a connection that is back in the pool).
 */
export interface RawConnection {
  /** Plain text is a tenth faster with mysql2 than a statement with options; its rows are objects. */
  query(statement: string | { sql: string; rowsAsArray: true }, callback: RawCallback): unknown
  on(event: 'end' | 'error', listener: (error?: unknown) => void): unknown
  removeListener(event: 'end' | 'error', listener: (error?: unknown) => void): unknown
  /** Not every driver has it. */
  prepare?(sql: string, callback: (error: Error | null, statement?: PreparedStatement) => void): unknown
}

/** A statement that the server has read already. */
export interface PreparedStatement {
  execute(parameters: readonly unknown[], callback: RawCallback): unknown
  close(): unknown
}

export type RawCallback = (error: Error | null, rows?: unknown) => void

/** Sends one statement and resolves to its rows. */
export type Ask = (sql: string) => Promise<unknown>

/** What the library uses of a QueryRunner. */
export interface RunnerLike {
  connect(): Promise<RawConnection>
  release(): Promise<void>
  readonly manager?: unknown
}

/** The first column of the first row, as text; undefined for NULL or nothing. */
export function singleValue(rows: unknown): string | undefined {
  const row = (rows as readonly Record<string, unknown>[] | undefined)?.[0]
  // Without a list of the columns: every lock comes by here, twice.
  for (const column in row) return row[column] === 1 ? '1' : textOf(row[column])
  return undefined
}

/** The first row as texts, in the order of its columns. */
export function singleRow(rows: unknown): (string | undefined)[] {
  const row = (rows as readonly (unknown[] | Record<string, unknown>)[] | undefined)?.[0] ?? []
  return (Array.isArray(row) ? row : Object.values(row)).map(textOf)
}

/** A value of a row as the text that it stands for. What stands for none, such as true or a date, is told from every answer. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return undefined
  if (typeof value === 'number' || typeof value === 'bigint' || Buffer.isBuffer(value)) return value.toString()
  return `(no text: ${typeof value})`
}
