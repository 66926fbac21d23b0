/** Observes the server on a connection that no subject uses. */
export interface Observer {
  /** In the benchmark's database. */
  rows(sql: string): Promise<Readonly<Record<string, unknown>>[]>
  execute(sql: string): Promise<void>
  /** Connections that have `database` open. */
  connections(database: string): Promise<number>
  /** Connections that are blocked in a wait for a lock of ours. */
  blocked(): Promise<number>
  /**
   * Statements per second that the server gets from other connections, over that many milliseconds. All of them use
   * `database`.
   */
  statementsPerSecond(database: string, ms: number): Promise<number>
  /** The file with the server's process id in its first line. */
  pidFile(): Promise<string>
  close(): Promise<void>
}
