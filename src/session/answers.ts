import type { Request } from './place.js'

/**
 * What the server can answer to a request. The rule: an unexpected answer is doubt, and never "no". It is reconciled (which locks does
 * the session own?), and where that fails as well, the connection ends with all of its locks. If it were read as "busy", a lock that was
 * granted would be left behind for as long as this process lives.
 */
export function isAnswerTo(request: Request, answer: string | undefined): answer is string {
  if (answer === '1' || answer === '0') return request !== 'passTurn'
  if (answer === undefined) return false
  switch (request) {
    case 'passTurn':
      return readPassedTurn(answer) !== undefined
    case 'takeFirst':
      return PLACE.test(answer)
    case 'fill':
      return DIGITS.test(answer)
    case 'holderId':
      return CONNECTION_IDS.test(answer)
    case 'fencingToken':
    case 'fencingTokenInWork':
      return NUMBER_OR_NOTHING.test(answer)
    default:
      return false
  }
}

/** The same for the question what the session owns of what a request was about (`ownershipOf`). */
export function isOwnership(request: Request, answer: string | undefined): answer is string {
  return isAnswerTo(request === 'takeFirst' ? request : 'owns', answer)
}

/** The answer of a statement that may block: `marked`, where the server did not wait because the polling mark was taken. */
export type WaitAnswer = 'granted' | 'not granted' | 'marked'

/** Undefined for an answer that is none. */
export function readWait(answer: string | undefined): WaitAnswer | undefined {
  switch (answer) {
    case '1':
      return 'granted'
    case '0':
      return 'not granted'
    case '-1':
      return 'marked'
    default:
      return undefined
  }
}

/** What became of a lock at the end of a turn. */
export interface PassedTurn {
  /** The session held the lock until then. */
  readonly wasHeld: boolean
  /** Taken again by the session; in the hands of another session; or left free, because the polling mark was taken. */
  readonly now: 'taken' | 'elsewhere' | 'marked'
}

/** Undefined for an answer that is none. */
export function readPassedTurn(answer: string): PassedTurn | undefined {
  return PASSED.get(answer)
}

export function unexpected(request: Request, answer: string | undefined): Error {
  const shown = answer === undefined ? 'NULL' : `'${answer.slice(0, 40)}'`
  return new Error(`the server answered ${shown} to the request '${request}' about a lock`)
}

const PASSED: ReadonlyMap<string, PassedTurn> = new Map<string, PassedTurn>([
  ['1/1', { wasHeld: true, now: 'taken' }],
  ['1/0', { wasHeld: true, now: 'elsewhere' }],
  ['1/-1', { wasHeld: true, now: 'marked' }],
  ['0/1', { wasHeld: false, now: 'taken' }],
  ['0/0', { wasHeld: false, now: 'elsewhere' }],
  ['0/-1', { wasHeld: false, now: 'marked' }],
])

const PLACE = /^\d{1,4}$/
/** One for each slot. */
const DIGITS = /^[01]+$/

/** With a space between them where several sessions hold the lock; nothing where none does. See dialect/holders.ts. */
const CONNECTION_IDS = /^((r )?\d+( \d+)*)?$/

const NUMBER_OR_NOTHING = /^\d*$/
