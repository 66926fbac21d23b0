import { NamedLockConfigurationError } from '../../contract/errors.js'
import type { Finding } from '../../contract/lock-info.js'
import { singleRow } from '../../typeorm/raw-connection.js'
import type { Ask } from '../../typeorm/raw-connection.js'

/**
 * The rule: no answer is believed before the driver has shown that it can read the server's. Under a character_set_results of
 * several bytes a letter mysql2 misreads texts (ucs2), and whole numbers where MariaDB sends them in that character set, too. Sessions
 * and inspections begin with these columns.
 */
export const PROBE = `'legible' AS x,12345 AS y`

const REMEDY = "Set it to utf8mb4: leave it out of init_connect, the server's configuration and hooks of the pool."

/** @throws NamedLockConfigurationError when the columns of the probe say something else. */
export async function refuseIllegible(ask: Ask, columns: readonly (string | undefined)[]): Promise<void> {
  const trouble = await troubleOf(ask, columns)
  if (trouble) throw new NamedLockConfigurationError(`${trouble} ${REMEDY}`)
}

export async function checkLegible(ask: Ask): Promise<Finding | undefined> {
  const message = await troubleOf(ask, singleRow(await ask(`SELECT ${PROBE}`)))
  return message === undefined ? undefined : { code: 'ANSWERS_NOT_LEGIBLE', severity: 'error', message, remedy: REMEDY }
}

async function troubleOf(ask: Ask, [text, number]: readonly (string | undefined)[]): Promise<string | undefined> {
  if (text === 'legible' && number === '12345') return undefined
  // Bytes are not converted.
  const [charset = 'unknown'] = singleRow(await ask('SELECT CAST(@@SESSION.character_set_results AS BINARY) AS c'))
  return `The driver misreads the server's answers: character_set_results is ${charset} on the connection.`
}
