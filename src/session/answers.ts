import type { Request } from './place.js'

/**
 * What the server can answer to a request. The rule: an answer that nobody expected is doubt, and never "no". It is reconciled (which
 * locks are owned?), and where that fails, too, the connection ends with whatever it holds. Read as "busy" it would leave a
 * lock behind that was granted, for as long as this process lives.
 */
export function isAnswerTo(request: Request, answer: string | undefined): answer is string {
  if (answer === '1' || answer === '0') return request !== 'passTurn'
  if (answer === undefined) return false
  switch (request) {
    case 'passTurn':
      return PASSED.has(answer)
    case 'holderId':
      return CONNECTION_IDS.test(answer)
    case 'fencingToken':
    case 'fencingTokenInWork':
      return NUMBER_OR_NOTHING.test(answer)
    default:
      return false
  }
}

/** The same for a wait: granted, not granted in time, or not waited for because the mark was taken. */
export function isAnswerToWait(answer: string | undefined): answer is '1' | '0' | '-1' {
  return answer === '1' || answer === '0' || answer === '-1'
}

export function unexpected(request: Request, answer: string | undefined): Error {
  const shown = answer === undefined ? 'NULL' : `'${answer.slice(0, 40)}'`
  return new Error(`the server answered ${shown} to the request '${request}' about a lock`)
}

/** Given back or not ours, and then taken again, somebody else's, or left to those who poll. */
const PASSED: ReadonlySet<string> = new Set(['1/1', '1/0', '1/-1', '0/1', '0/0', '0/-1'])

/** With a space between them where several hold the lock; nothing where nobody does. */
const CONNECTION_IDS = /^(\d+( \d+)*)?$/

const NUMBER_OR_NOTHING = /^\d*$/
