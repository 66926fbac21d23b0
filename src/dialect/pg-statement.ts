/** What is used of pg's Connection: the messages of the protocol. */
export interface PgConnection {
  query(text: string): void
  bind(message: { portal: string; statement: string; values: readonly string[] }): void
  execute(message: { portal: string }): void
  sync(): void
  readonly stream: { cork?(): void; uncork?(): void; destroy(): void }
}

/** A prepared statement with its parameters. */
export interface Bound {
  readonly statement: string
  readonly values: readonly string[]
}

/**
 * A statement whose answers are texts. pg lets queries be of its users' making, and its own is made for much more: what it
 * builds for each statement (parsers by type, an object's shape, an emitter) is a tenth of what one caller waits for a lock. With
 * `bound` the server has read the statement already and is not asked to describe what it answers.
 *
 * Whoever copies its fields into a query of pg's own, as instrumentation does, gets the same answers: the text says all.
 */
export class PgStatement {
  #rows: (readonly (string | null)[])[] = []
  callback: ((error: Error | null, result?: unknown) => void) | undefined

  constructor(
    readonly text: string,
    readonly bound: Bound | undefined,
    /** Instead of the client's own limit. */
    readonly query_timeout: number | undefined,
  ) {}

  /** It is its own result. */
  get rows(): readonly (readonly (string | null)[])[] {
    return this.#rows
  }

  submit(connection: PgConnection): null {
    if (!this.bound) {
      connection.query(this.text)
      return null
    }
    connection.stream.cork?.()
    connection.bind({ portal: '', ...this.bound })
    connection.execute({ portal: '' })
    connection.sync()
    connection.stream.uncork?.()
    return null
  }

  /** Of several statements sent as one, the last that has rows counts. */
  handleRowDescription(): void {
    this.#rows = []
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    this.#rows.push(fields)
  }

  handleReadyForQuery(): void {
    this.callback?.(null, this)
  }

  handleError(error: Error): void {
    this.callback?.(error)
  }

  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}
