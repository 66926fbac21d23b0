import { randomBytes } from 'node:crypto'
import { UNFIT, unfit } from '../engines.js'
import { singleRow, type Ask } from '../../typeorm/raw-connection.js'
import { galeraRefusal } from './clusters.js'

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

const QUESTIONS = 3
const RIGHT = '1,1,1'
/** How often they are asked again. */
const REPETITIONS = 3

/** Errors of a server that does not know a function, or not in that place. */
const ER_NOT_SUPPORTED_YET = 1235
const ER_UNKNOWN = 1105
const ER_SP_DOES_NOT_EXIST = 1305
const ER_PARSE = 1064
const REFUSALS: ReadonlySet<unknown> = new Set([ER_NOT_SUPPORTED_YET, ER_UNKNOWN, ER_SP_DOES_NOT_EXIST, ER_PARSE])

const REMEDY = 'Use a MySQL or MariaDB server for locks; run `named-lock check` for the details.'

/**
 * The answers to the columns, and the check of the server's lock functions with the same statement. Wrong answers are doubt: a statement that is
 * cancelled (KILL QUERY) may answer as if it had not got the lock, and an error may be any trouble of the server. So the questions are asked
 * again, and only a server that answers wrong each time is refused.
 *
 * @throws NamedLockConfigurationError when the lock functions do not do what sessions rely on.
 */
export async function askWithLock(ask: Ask, columns: string): Promise<(string | undefined)[]> {
  const first = await answersOf(ask, `SELECT ${columns},${questions()}`)
  const row = first instanceof Error ? singleRow(await ask(`SELECT ${columns}`)) : first.slice(0, -QUESTIONS)
  let answers: Answers | Error = first instanceof Error ? first : first.slice(-QUESTIONS)
  for (let i = 0; i < REPETITIONS && !isRight(answers); i++) answers = await answersOf(ask, `SELECT ${questions()}`)
  if (isRight(answers)) return row
  const message =
    answers instanceof Error
      ? `It refuses a statement with GET_LOCK in an expression: ${answers.message}.`
      : "Its lock functions do not do what MySQL's do: to GET_LOCK of a free lock, IS_USED_LOCK and RELEASE_LOCK it answered " +
        `${textOf(answers)} instead of ${RIGHT}.`
  throw unfit(galeraRefusal(answers) ?? { code: UNFIT, message, remedy: REMEDY })
}

type Answers = (string | undefined)[]

/** An error that may be a refusal is an answer, too. */
async function answersOf(ask: Ask, sql: string): Promise<Answers | Error> {
  try {
    return singleRow(await ask(sql))
  } catch (error) {
    if (REFUSALS.has((error as { errno?: unknown }).errno)) return error as Error
    throw error
  }
}

function isRight(answers: Answers | Error): boolean {
  return !(answers instanceof Error) && textOf(answers) === RIGHT
}

const textOf = (columns: Answers): string => columns.map((answer) => answer ?? 'NULL').join(',')
