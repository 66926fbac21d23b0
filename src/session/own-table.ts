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
  /** What makes the table that is there useless, as the end of a sentence about it; undefined: nothing. */
  flaw?: ((ask: Ask) => Promise<string | undefined>) | undefined
}

/**
 * Calls `use`, after the table was created if `use` does not find it. On a connection beside all transactions: MySQL and MariaDB commit
 * before a CREATE.
 *
 * @throws NamedLockConfigurationError with the statements to run, when the table cannot be created, as without the right to do so, or when
 *   the one that is there has other columns.
 */
export async function withTable<T>(ask: Ask, table: OwnTable, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } catch (error) {
    if (!table.isMissing(error)) throw (await flawed(ask, table, error)) ?? error
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

/** @throws NamedLockConfigurationError where the table that is there cannot be used, though statements to it may succeed. */
export async function assertNoFlaw(ask: Ask, table: OwnTable): Promise<void> {
  const flaw = await table.flaw?.(ask)
  if (flaw !== undefined) throw misfit(table, flaw)
}

/** The flaw that explains why a statement failed. */
async function flawed(ask: Ask, table: OwnTable, cause: unknown): Promise<Error | undefined> {
  const flaw = await table.flaw?.(ask).catch(() => undefined)
  return flaw === undefined ? undefined : misfit(table, flaw, cause)
}

function misfit({ option, name, create }: OwnTable, flaw: string, cause?: unknown): NamedLockConfigurationError {
  return new NamedLockConfigurationError(
    `${option}: the table '${name}' ${flaw}. Use another table, or one like this: ${create.join('; ')};`,
    { cause },
  )
}

function notCreated({ option, name, create }: OwnTable, cause: unknown): NamedLockConfigurationError {
  const reason = cause instanceof Error ? ` (${cause.message})` : ''
  return new NamedLockConfigurationError(
    because(
      'missing-table',
      `${option}: the table '${name}' does not exist and could not be created${reason}. Create it with ${create.join('; ')};`,
    ),
    { cause },
  )
}
