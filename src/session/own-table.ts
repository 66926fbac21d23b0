import { NamedLockConfigurationError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import type { Ask } from '../typeorm/raw-connection.js'

/** A table of the library's own, which is created when it is first needed. */
export interface OwnTable {
  /** The option that names it, for error messages. */
  readonly option: string
  readonly name: string
  /** Each is a statement of its own; all of them may be repeated. */
  readonly create: readonly string[]
  /** The error says that there is no such table. */
  isMissing: (error: unknown) => boolean
}

/**
 * Calls `use`, after the table was created if `use` does not find it. On a connection beside all transactions: MySQL and MariaDB commit
 * before a CREATE.
 *
 * @throws NamedLockConfigurationError with the statements to run, when the table cannot be created, as without the right to do so.
 */
export async function withTable<T>(ask: Ask, table: OwnTable, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } catch (error) {
    if (!table.isMissing(error)) throw error
  }
  try {
    for (const statement of table.create) await ask(statement)
  } catch (cause) {
    // Several processes may create it at the same time: PostgreSQL refuses all but one of them.
    return use().catch((error: unknown) => {
      throw table.isMissing(error) ? notCreated(table, cause) : error
    })
  }
  return use()
}

function notCreated({ option, name, create }: OwnTable, cause: unknown): NamedLockConfigurationError {
  return new NamedLockConfigurationError(
    because(
      'missing-table',
      `${option}: the table '${name}' does not exist and could not be created. Create it with ${create.join('; ')};`,
    ),
    { cause },
  )
}
