import { randomBytes } from 'node:crypto'
import { unfit } from '../engines.js'
import { singleRow, type Ask } from '../../typeorm/raw-connection.js'

/*
 * Whether the lock functions of a server do what sessions rely on, as far as one session can see that: an expression around GET_LOCK is
 * evaluated, a free lock is granted, IS_USED_LOCK gives the id of its holder, and the lock can be released. The questions go with a
 * statement that every new session sends anyway, about a lock that no other session asks for.
 */

/**
 * About a key of its own for each session. One column for each question: in CONCAT_WS MariaDB evaluates what looks constant before the rest,
 * where collation_connection has several bytes a letter.
 */
function questions(): string {
  const key = `0x${Buffer.from(`typeorm-named-lock~${randomBytes(8).toString('hex')}`).toString('hex')}`
  return `IF(GET_LOCK(${key},0),1,0) AS g,IS_USED_LOCK(${key})<=>CONNECTION_ID() AS h,RELEASE_LOCK(${key}) AS r`
}

const ANSWERS = '1,1,1'

/** Errors of a server that does not know a function, or not in that place. */
const ER_NOT_SUPPORTED_YET = 1235
const ER_UNKNOWN = 1105
const ER_SP_DOES_NOT_EXIST = 1305
const ER_PARSE = 1064
const REFUSALS: ReadonlySet<unknown> = new Set([ER_NOT_SUPPORTED_YET, ER_UNKNOWN, ER_SP_DOES_NOT_EXIST, ER_PARSE])

const REMEDY = 'Use a MySQL or MariaDB server for locks; `named-lock check` tells more.'

/** Asks for the columns, with the questions as three more columns at the end. */
export async function askWithLock(ask: Ask, columns: string): Promise<unknown> {
  try {
    return await ask(`SELECT ${columns},${questions()}`)
  } catch (error) {
    if (!REFUSALS.has((error as { errno?: unknown }).errno)) throw error
    // One of the columns may be the reason.
    await ask(`SELECT ${columns}`)
    const message = `It refuses a statement with GET_LOCK in an expression: ${(error as Error).message}.`
    throw unfit({ message, remedy: REMEDY })
  }
}

/** How often wrong answers are asked for again: a statement that is cancelled (KILL QUERY) may answer as if it had not got the lock. */
const REPETITIONS = 3

/** @throws NamedLockConfigurationError when the lock functions answer otherwise again and again. */
export async function refuseUnfit(ask: Ask, version: string, columns: readonly (string | undefined)[]): Promise<void> {
  let answers = textOf(columns)
  for (let i = 0; i < REPETITIONS && answers !== ANSWERS; i++)
    answers = textOf(singleRow(await ask(`SELECT ${questions()}`)))
  if (answers === ANSWERS) return
  const message =
    `It says that it is ${version}, but its lock functions do not do what MySQL's do: to GET_LOCK of a free lock, IS_USED_LOCK and ` +
    `RELEASE_LOCK it answered ${answers} instead of ${ANSWERS}.`
  throw unfit({ message, remedy: REMEDY })
}

const textOf = (columns: readonly (string | undefined)[]): string => columns.map((answer) => answer ?? 'NULL').join(',')
