import { createHash } from 'node:crypto'
import type { CounterStatements } from '../dialect/dialect.js'
import { NamedLockConfigurationError, NamedLockError } from '../contract/errors.js'
import { withTable } from './own-table.js'
import { within } from '../util/within.js'
import { singleValue, type Ask } from '../typeorm/raw-connection.js'
import type { Sessions } from './sessions.js'

/**
 * Fencing tokens out of a table with a counter for each key: they go on rising wherever that table goes, through restarts and
 * failovers, where the server's own numbers may begin again.
 *
 * The counters are raised on a connection beside the lock's, committed at once: inside the lock's transaction a ROLLBACK would
 * hand the same number out twice, and on the shared session a row lock would block all callers. So the holder has to verify afterwards
 * that the lock is still held: then it was held while the counter rose.
 */
export class FencingTable {
  readonly #table: string
  readonly #timeout: number
  readonly #sessions: Sessions

  constructor(table: string, timeout: number, sessions: Sessions) {
    this.#table = table
    this.#timeout = timeout
    this.#sessions = sessions
  }

  /** A number above all that these keys have had; none of them gets it again. */
  next(exclusionKeys: readonly string[]): Promise<bigint> {
    const statements = this.#sessions.dialect.counter?.(this.#table)
    if (!statements) throw new NamedLockConfigurationError('fencing: there are no counters for this database.')
    const keys = exclusionKeys.map(counterKey)
    const raised = this.#sessions.inspect((ask) => this.#raise(ask, statements, keys))
    return within(raised, this.#timeout, undefined, () => {
      return new NamedLockError(`No fencing token within ${this.#timeout} ms: no connection for it came free.`)
    })
  }

  async #raise(ask: Ask, statements: CounterStatements, keys: readonly string[]): Promise<bigint> {
    const raise = async (key: string, floor: bigint): Promise<bigint> => {
      const raised = await ask(statements.raise(key, floor))
      return BigInt(singleValue(statements.last === undefined ? raised : await ask(statements.last)) as string)
    }
    const table = {
      option: 'fencing.table',
      name: this.#table,
      create: [statements.create],
      isMissing: statements.isMissing,
    }
    let token = 0n
    for (const key of keys) token = await withTable(ask, table, () => raise(key, token))
    // A later call for one of these keys alone must get a higher number than this one.
    for (const key of keys.slice(0, -1)) await raise(key, token - 1n)
    if (statements.commit !== undefined) await ask(statements.commit)
    return token
  }
}

/** Keys are plain ASCII already; exact names may be anything. */
function counterKey(exclusionKey: string): string {
  if (/^[ -~]{1,64}$/.test(exclusionKey)) return exclusionKey
  return `~${createHash('sha256').update(exclusionKey).digest('hex').slice(0, 62)}`
}
