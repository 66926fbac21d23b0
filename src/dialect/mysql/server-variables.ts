import { singleValue, type Ask } from '../../typeorm/raw-connection.js'

/* What a check asks a server that may not know the question, or may not answer it to this account. */

/** A variable's value; undefined where the server does not have it. */
export async function variable(ask: Ask, name: string): Promise<string | undefined> {
  return singleValue((await maybe(ask(`SELECT ${name} AS v`))) ?? [])
}

const ER_QUERY_INTERRUPTED = 1317

/** What the server says, or nothing where it refuses to say it. What ends the connection ends the check, and so does a KILL QUERY. */
export async function maybe(answer: Promise<unknown>): Promise<unknown> {
  return answer.catch((error: unknown) => {
    const { errno, sqlState } = error as { errno?: unknown; sqlState?: unknown }
    if (sqlState === undefined || errno === ER_QUERY_INTERRUPTED) throw error
    return undefined
  })
}

export function isOn(value: string | undefined): boolean {
  return value === '1' || value?.toUpperCase() === 'ON'
}
