import { connect } from 'node:net'
import type { PreparedStatement, RawCallback, RawConnection } from '../../typeorm/raw-connection.js'
import { AS_TEXT, PgStatement, type Bound, type PgConnection } from './pg-statement.js'

/** What is used of pg's Client. */
export interface PgClient {
  query(statement: string | object, callback: (error: Error | null, result?: unknown) => void): unknown
  on(event: 'end' | 'error', listener: (error?: unknown) => void): unknown
  removeListener(event: 'end' | 'error', listener: (error?: unknown) => void): unknown
  end(): Promise<void>
  /** `I`, `T` or `E`, as of the last ReadyForQuery. Older versions of pg do not keep it. */
  getTransactionStatus?(): unknown
  /** False while a statement is under way. */
  readonly readyForQuery?: boolean | null
  readonly host?: string
  readonly port?: number
  readonly database?: string
  readonly user?: string
  /** What a cancel of the protocol is addressed to. A pooler makes them up, and pg-native's client has none. */
  readonly processID?: number | null
  readonly secretKey?: unknown
  readonly connectionParameters?: {
    readonly query_timeout?: unknown
    readonly ssl?: unknown
    readonly application_name?: unknown
    readonly fallback_application_name?: unknown
  }
  /** Not every client has one: pg-native does all by itself. */
  readonly connection?: Partial<PgConnection>
  /** It sends statements before the answers to others are in, and then takes no statements but its own. */
  readonly pipeline?: unknown
}

interface PgResult {
  readonly rows: unknown
  readonly fields?: readonly unknown[]
}

type Statement = string | { sql: string; rowsAsArray: true } | { sql: string; bound: Bound }

/** setTimeout's longest delay: pg takes it instead of its own limit, and 0 not. */
const NEVER = 2_147_483_647

/**
 * pg's Client in the shape in which sessions use connections. One statement at a time: pg has its own queue, but warns when it is used. A time limit of the driver does not count here: it would leave the statement running, and its lock without a holder.
 */
export class PgWire implements RawConnection {
  readonly #client: PgClient
  readonly #waiting: [Statement, RawCallback][] = []
  readonly #limit: number | undefined
  readonly #takesOurs: boolean
  #isBusy = false
  #prepared = 0

  constructor(client: PgClient) {
    this.#client = client
    this.#limit = client.connectionParameters?.query_timeout ? NEVER : undefined
    this.#takesOurs = typeof client.connection?.stream?.write === 'function' && !client.pipeline
  }

  query(statement: string | { sql: string; rowsAsArray: true }, callback: RawCallback): void {
    this.#queue(statement, callback)
  }

  #queue(statement: Statement, callback: RawCallback): void {
    if (this.#isBusy) this.#waiting.push([statement, callback])
    else this.#send(statement, callback)
  }

  on(event: 'end' | 'error', listener: (error?: unknown) => void): void {
    this.#client.on(event, listener)
  }

  removeListener(event: 'end' | 'error', listener: (error?: unknown) => void): void {
    this.#client.removeListener(event, listener)
  }

  /** By SQL: what pg prepares itself it takes for prepared forever. */
  prepare(sql: string, callback: (error: Error | null, statement?: PreparedStatement) => void): void {
    const name = `typeorm_named_lock_${++this.#prepared}`
    this.query(`PREPARE ${name} AS ${sql}`, (error) => {
      if (error) {
        callback(error)
        return
      }
      callback(null, {
        execute: (parameters, answered) => {
          const values = parameters as readonly string[]
          this.#queue({ sql: `EXECUTE ${name}('${values.join("','")}')`, bound: { statement: name, values } }, answered)
        },
        close: () => this.query(`DEALLOCATE ${name}`, () => {}),
      })
    })
  }

  #send(statement: Statement, callback: RawCallback): void {
    this.#isBusy = true
    this.#client.query(this.#config(statement), (error, result) => {
      this.#isBusy = false
      const next = this.#waiting.shift()
      if (next) this.#send(...next)
      callback(error ?? null, error ? undefined : rowsOf(result as PgResult | PgResult[]))
    })
  }

  /**
   * The rule: our statements are ours. The application's type parsers (`types` of pg or of its client) do not see what they answer: the
   * values are the texts that the server sent.
   */
  #config(statement: Statement): object {
    const text = typeof statement === 'string' ? statement : statement.sql
    const bound = typeof statement === 'object' && 'bound' in statement ? statement.bound : undefined
    if (this.#takesOurs) return new PgStatement(text, bound, this.#limit)
    return { text, rowMode: 'array', types: AS_TEXT, query_timeout: this.#limit }
  }
}

/** Of several statements sent as one, those of the last that has any. */
function rowsOf(result: PgResult | PgResult[]): unknown {
  if (!Array.isArray(result)) return result.rows
  return result.findLast(({ fields }) => fields && fields.length > 0)?.rows ?? []
}

/** How long a cancel may take to get through. */
const CANCEL_PATIENCE = 1_000

/**
 * Ends what the backend of that client is doing, by a connection of its own: a backend that waits for a lock does not notice that
 * its client has gone. https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
 */
export function cancelBackend({ host, port, processID, secretKey }: PgClient): void {
  if (typeof processID !== 'number' || typeof secretKey !== 'number' || host === undefined) return
  const request = Buffer.alloc(16)
  request.writeInt32BE(16, 0)
  request.writeInt32BE(80877102, 4)
  request.writeInt32BE(processID, 8)
  request.writeInt32BE(secretKey, 12)
  const socket = host.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port ?? 5432, host)
  socket.on('error', () => {}) // the server may be what has gone
  socket.setTimeout(CANCEL_PATIENCE, () => socket.destroy())
  socket.unref()
  socket.end(request)
}
