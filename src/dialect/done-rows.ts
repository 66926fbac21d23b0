import type { Ask } from '../typeorm/raw-connection.js'

/** Longer than that is forever, in milliseconds: a hundred years. No server can go back that far with certainty. */
export const FOREVER = 100 * 365 * 24 * 3_600_000

/** What `runOnce` has done, as rows of a table: its statements, and how their answers are read. Times are the server's. */
export interface DoneRows {
  /** Each is a statement of its own. */
  readonly create: readonly string[]
  /** The error says that there is no such table. */
  isMissing: (error: unknown) => boolean
  /**
   * What makes the table that is there useless for `runOnce`, as the end of a sentence about it; undefined: nothing. Beside all transactions.
   * Other statements may succeed on such a table.
   */
  readonly flaw?: (ask: Ask) => Promise<string | undefined>
  /**
   * When the name was done, unless that is longer ago than `every` milliseconds. In one statement, which reads by the primary key.
   *
   * @param isAlone Beside all transactions: none may be left on the connection.
   */
  read(ask: Ask, key: string, every: number, isAlone?: boolean): Promise<Date | undefined>
  /**
   * Writes that the name is done, inside the transaction of the work. False where it was done already, less than `every` milliseconds ago;
   * then nothing is written. It blocks while another transaction writes the same key.
   *
   * @param isAlone Beside all transactions, instead.
   */
  claim(ask: Ask, key: string, name: string, every: number, isAlone?: boolean): Promise<boolean>
  /** Removes a row, inside a transaction; false if there was none. */
  forget(ask: Ask, key: string): Promise<boolean>
  /**
   * The rows whose keys begin with `prefix` and that were done more than `age` milliseconds ago, the oldest first: as many as one batch of
   * `purge` takes, from the one after `last` on.
   */
  old(ask: Ask, prefix: string, age: number, last?: OldRow): Promise<readonly OldRow[]>
  /**
   * Removes those of the keys that are still as old as that. Resolves to how many. It does not wait for a run that is about to renew its
   * row: the work may take hours, and the rows that the purge has locked meanwhile would keep other runs waiting. So `old` or `purge` passes
   * over such rows.
   */
  purge(ask: Ask, keys: readonly string[], age: number): Promise<number>
}

/** A row on its way out: its key, its name, and its time as the server writes it. */
export type OldRow = readonly [key: string, name: string, doneAt: string]

/** How many rows a batch of a purge removes: its locks last for milliseconds. */
export const PURGE_BATCH = 1_000

/** `2026-11-28T01:02:03.456789`, in UTC. */
export function dateOf(text: string): Date {
  return new Date(`${text.slice(0, 23)}Z`)
}

export function microseconds(milliseconds: number): string {
  return String(Math.round(Math.min(milliseconds, FOREVER) * 1_000))
}
