import type { PreparedStatement, RawCallback, RawConnection } from '../../typeorm/raw-connection.js'

/** What is used of a connection of mysql2, and of the older driver `mysql`. */
interface MySqlConnection {
  query(statement: string | object, valuesOrCallback: RawCallback | null, callback?: RawCallback): unknown
  on(event: 'end' | 'error', listener: (error?: unknown) => void): unknown
  removeListener(event: 'end' | 'error', listener: (error?: unknown) => void): unknown
  readonly config?: Partial<ShapingOptions> | undefined
  /** mysql2 only. */
  prepare?(sql: string, callback: (error: Error | null, statement?: PreparedStatement) => void): unknown
  unprepare?(sql: string): unknown
}

const ER_TOO_BIG_SELECT = 1104

/** A statement without values is searched for placeholders all the same, character by character; with this it is not. */
const NO_VALUES = null

/** The options of a connection that change how an answer reaches its caller. */
interface ShapingOptions {
  typeCast: unknown
  rowsAsArray: unknown
  nestTables: unknown
  namedPlaceholders: unknown
  queryFormat: unknown
}

/** Every value as the text that the server sent: the driver's own reading depends on a dozen of its options. */
const asText = (field: { string(): string | null }): string | null => field.string()

/**
 * A driver takes a connection's option wherever a statement has none of its own, so a statement of ours has them all. A `typeCast` of
 * true would not do: mysql2 takes the connection's function then.
 */
const OWN = { rowsAsArray: true, typeCast: asText, nestTables: false, namedPlaceholders: false, values: undefined }

/**
 * The rule: our statements are ours. No option that the application gives its driver changes what the server's answers look like
 * here. Every statement of the library on a MySQL or MariaDB connection goes through here, and answers are texts, or what
 * `textOf` makes the same texts of.
 *
 * Plain text is a tenth faster than a statement with options, and preparing is faster still; neither can have options of its own. So
 * both are kept for connections that have none that matters (nearly all): then whole numbers and texts are all that can come.
 * One option cannot be overridden: a `queryFormat` sees our statements. They hold no placeholder that it could fill.
 */
export class MySqlWire implements RawConnection {
  /** Left out where the driver has none, or where the application's options would shape the answers. */
  readonly prepare?: NonNullable<RawConnection['prepare']>
  readonly #connection: MySqlConnection
  readonly #isUnshaped: boolean

  constructor(connection: MySqlConnection) {
    this.#connection = connection
    this.#isUnshaped = isUnshaped(connection.config)
    if (this.#isUnshaped && connection.prepare) this.prepare = (sql, callback) => this.#prepare(sql, callback)
  }

  query(statement: string | { sql: string; rowsAsArray: true }, callback: RawCallback): void {
    if (typeof statement !== 'string') this.#ask({ ...OWN, sql: statement.sql }, callback)
    else if (this.#isUnshaped) this.#connection.query(statement, NO_VALUES, callback)
    else this.#connection.query({ ...OWN, sql: statement }, callback)
  }

  /**
   * The same rule for limits of the server: max_join_size refuses statements that look at the server's own tables, SHOW among them.
   * One that was refused is sent again with sql_big_selects on, which can only have been off.
   */
  #ask(statement: { readonly sql: string }, callback: RawCallback): void {
    const connection = this.#connection
    connection.query(statement, (error, rows) => {
      if ((error as { errno?: unknown } | null)?.errno !== ER_TOO_BIG_SELECT) {
        callback(error, inArrays(rows))
        return
      }
      let answer: Parameters<RawCallback> = [error]
      connection.query('SET SESSION sql_big_selects=1', () => {})
      connection.query(statement, (failure, again) => (answer = [failure, inArrays(again)]))
      connection.query('SET SESSION sql_big_selects=0', (failure) => callback(answer[0] ?? failure, answer[1]))
    })
  }

  on(event: 'end' | 'error', listener: (error?: unknown) => void): void {
    this.#connection.on(event, listener)
  }

  removeListener(event: 'end' | 'error', listener: (error?: unknown) => void): void {
    this.#connection.removeListener(event, listener)
  }

  #prepare(sql: string, callback: (error: Error | null, statement?: PreparedStatement) => void): void {
    const connection = this.#connection
    connection.prepare?.(sql, (error, statement) => {
      if (error || !statement) {
        callback(error)
        return
      }
      callback(null, {
        execute: (parameters, answered) => statement.execute(parameters, answered),
        // Closed alone it stays in the driver's cache, and the next session that prepares the same text gets a statement that is gone.
        close: () => (connection.unprepare ? connection.unprepare(sql) : statement.close()),
      })
    })
  }
}

function isUnshaped(config: Partial<ShapingOptions> | undefined): boolean {
  if (config?.typeCast !== true) return false
  const { rowsAsArray, nestTables, namedPlaceholders, queryFormat } = config
  return !rowsAsArray && !nestTables && !namedPlaceholders && !queryFormat
}

/** The older driver `mysql` has objects only. */
function inArrays(rows: unknown): unknown {
  const isOfObjects = Array.isArray(rows) && rows.length > 0 && !Array.isArray(rows[0])
  return isOfObjects ? rows.map((row: object) => Object.values(row)) : rows
}
