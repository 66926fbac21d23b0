/** Looks at the server from outside, on a connection that no subject uses. */
export interface Observer {
  /** In the benchmark's database. */
  rows(sql: string): Promise<Readonly<Record<string, unknown>>[]>
  execute(sql: string): Promise<void>
  /** Connections that have `database` open. */
  connections(database: string): Promise<number>
  /** Connections that are blocked in a wait for a lock of ours. */
  blocked(): Promise<number>
  /** Statements per second that the server gets from others, over so many milliseconds; nobody uses another database than `database`. */
  statementsPerSecond(database: string, ms: number): Promise<number>
  /** Where the server wrote its process id, in the first line. */
  pidFile(): Promise<string>
  close(): Promise<void>
}
