import { unfit } from '../engines.js'
import type { Ask } from '../../typeorm/raw-connection.js'
import { hexLiteral } from './sql-literal.js'

/*
 * Whether the lock functions of a server do what sessions rely on, as far as one session can see that: an expression around GET_LOCK is
 * evaluated, a free lock is granted, IS_USED_LOCK gives the id of its holder, and the lock can be released. The questions go with a
 * statement that every new session sends anyway, about a lock that no other session asks for.
 */

/** A key of its own for each connection. */
const KEY = `CONCAT(${hexLiteral('typeorm-named-lock~')},CONNECTION_ID())`
const QUESTIONS = `CONCAT_WS(',',GET_LOCK(${KEY},0),IS_USED_LOCK(${KEY})<=>CONNECTION_ID(),RELEASE_LOCK(${KEY}))`
const ANSWERS = '1,1,1'

/** Errors of a server that does not know a function, or not in that place. */
const ER_NOT_SUPPORTED_YET = 1235
const ER_UNKNOWN = 1105
const ER_SP_DOES_NOT_EXIST = 1305
const ER_PARSE = 1064
const REFUSALS: ReadonlySet<unknown> = new Set([ER_NOT_SUPPORTED_YET, ER_UNKNOWN, ER_SP_DOES_NOT_EXIST, ER_PARSE])

const REMEDY = 'Use a MySQL or MariaDB server for locks; `named-lock check` tells more.'

/** Asks for the columns, with the questions as one more column at the end. */
export async function askWithLock(ask: Ask, columns: string): Promise<unknown> {
  try {
    return await ask(`SELECT ${columns},${QUESTIONS} AS p`)
  } catch (error) {
    if (!REFUSALS.has((error as { errno?: unknown }).errno)) throw error
    // One of the columns may be the reason.
    await ask(`SELECT ${columns}`)
    const message = `It refuses a statement with GET_LOCK in an expression: ${(error as Error).message}.`
    throw unfit({ message, remedy: REMEDY })
  }
}

/** @throws NamedLockConfigurationError when the lock functions answered otherwise. */
export function refuseUnfit(version: string, answers: string | undefined): void {
  if (answers === ANSWERS) return
  const message =
    `It says that it is ${version}, but its lock functions do not do what MySQL's do: to GET_LOCK of a free lock, IS_USED_LOCK and ` +
    `RELEASE_LOCK it answered ${answers ?? 'NULL'} instead of ${ANSWERS}.`
  throw unfit({ message, remedy: REMEDY })
}
