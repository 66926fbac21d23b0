import type { Dialect } from '../dialect/dialect.js'
import type { SessionSource } from './session-source.js'
import type { Session } from './session.js'

/** What a session can be asked about one lock. The server answers each of them at once: none blocks. */
export type Request =
  | 'take'
  | 'takeShared'
  | 'takeFirst'
  | 'fill'
  | 'give'
  | 'passTurn'
  | 'isFree'
  | 'isWanted'
  | 'owns'
  | 'holderId'
  | 'fencingToken'
  | 'fencingTokenInWork'

/** Gets the answer. One method instead of a closure for each request: there are two requests per lock. */
export interface Asker {
  /**
   * `answer` is the server's, one of those in answers.ts; undefined with an `error` when the statement failed for good, or when its
   * answer was none of them. When the session has died, the error is the session's NamedLockLostError.
   */
  answered(request: Request, answer: string | undefined, error: Error | undefined): void
}

/** Where a lock can be held: a session, and how requests get to it. */
export interface Place {
  /** The session behind it, while there is one. */
  readonly session: Session | undefined
  /** Where the connection comes from, where it is a claim's own. */
  readonly source?: SessionSource | undefined
  /** Several requests of one call stay in this order. Several literals, with a space between them, stand for `takeFirst`. */
  ask(request: Request, literal: string, asker: Asker, mark?: string): void
  /**
   * The same for a request without a caller that waits for its answer: it goes out together with the next request, at the latest at the end
   * of this turn of the event loop. Only on places that send many requests in one statement.
   */
  askLater?(request: Request, literal: string, asker: Asker): void
  /** Takes back what `asker` asked by `askLater`; the asker gets no answer then. False when it was sent, or is about to be. */
  takeBack?(asker: Asker): boolean
  /** A lock was taken or released on that session here. The shared session counts them, so that it can go back to the pool when it holds none. */
  held(change: 1 | -1, session: Session | undefined): void
  /** The connection becomes another claim's, with the lock that is held there. Only for places with a `source`. */
  passTo?(source: SessionSource): void
}

/** The request as an expression. */
export function expressionOf(dialect: Dialect, request: Request, literal: string, mark: string | undefined): string {
  switch (request) {
    case 'passTurn':
      return dialect.passTurn(literal, mark as string)
    case 'isWanted':
      return dialect.isWanted?.(literal, mark as string) ?? ''
    case 'fill':
      return dialect.fill?.(literal) ?? ''
    case 'takeShared':
      return dialect.takeShared?.(literal) ?? ''
    case 'fencingTokenInWork':
      return dialect.fencingTokenInWork?.(literal) ?? dialect.fencingToken(literal)
    default:
      return dialect[request](literal)
  }
}

/** The question whether the session owns what the request is about, for a request that was not answered. Nothing is left half taken. */
export function ownershipOf(dialect: Dialect, request: Request, literal: string): string {
  if (request === 'takeFirst') return dialect.ownsFirst(literal)
  return dialect.ownsAllOrNone?.(literal) ?? dialect.owns(literal)
}

/** Asks without an asker of one's own, where a promise more does not matter. */
export function ask(place: Place, request: Request, literal: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    place.ask(request, literal, {
      answered: (_request, answer, error) => (error ? reject(error) : resolve(answer)),
    })
  })
}
