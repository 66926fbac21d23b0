import type { SessionSource } from './session-source.js'
import { isAnswerTo, isOwnership, unexpected } from './answers.js'
import { expressionOf, ownershipOf, type Asker, type Place, type Request } from './place.js'
import type { Session } from './session.js'

/** After these the session may own another lock than before. */
const CHANGES: ReadonlySet<Request> = new Set(['take', 'takeShared', 'takeFirst', 'give', 'passTurn'])

/** A session that holds one lock at a time: a waiting session, a dedicated one, a transaction's. One statement per request. */
export class DirectPlace implements Place {
  readonly session: Session
  #source: SessionSource | undefined

  constructor(session: Session, source?: SessionSource) {
    this.session = session
    this.#source = source
  }

  get source(): SessionSource | undefined {
    return this.#source
  }

  passTo(source: SessionSource): void {
    if (!this.#source || this.#source === source) return
    source.takeOver(this.#source)
    this.#source = source
  }

  ask(request: Request, literal: string, asker: Asker, mark?: string): void {
    const { dialect } = this.session
    if (request === 'give' && dialect.endsWithTransaction) {
      this.#endTransaction(asker)
      return
    }
    this.session.send(dialect.single(expressionOf(dialect, request, literal, mark)), (error, rows) => {
      const [answer] = error ? [] : dialect.readBatch(rows)
      // MySQL answers NULL where no session held the lock.
      if (error) asker.answered(request, undefined, error)
      else if (isAnswerTo(request, answer)) asker.answered(request, answer, undefined)
      else if (request === 'give' && answer === undefined) asker.answered(request, '0', undefined)
      else this.#doubt(request, literal, asker, unexpected(request, answer))
    })
  }

  /** After an unexpected answer: the server is asked what the session owns. Without a clear answer the connection ends, with all it holds. */
  #doubt(request: Request, literal: string, asker: Asker, cause: Error): void {
    const changes = CHANGES.has(request)
    if (!changes) {
      asker.answered(request, undefined, cause)
      return
    }
    const { dialect } = this.session
    this.session.send(dialect.single(ownershipOf(dialect, request, literal)), (error, rows) => {
      const [owned] = error ? [] : dialect.readBatch(rows)
      const isClear = isOwnership(request, owned)
      if (isClear && request !== 'give')
        asker.answered(request, request === 'passTurn' ? `1/${owned}` : owned, undefined)
      else if (isClear && owned === '0') asker.answered(request, '1', undefined)
      else {
        this.session.lose(cause)
        asker.answered(request, undefined, this.session.lostError ?? cause)
      }
    })
  }

  /** Where locks end with their transaction. One that the application runs is ended by the application. */
  #endTransaction(asker: Asker): void {
    const ended = this.#source?.endTransaction?.() ?? Promise.resolve()
    ended.then(
      () => asker.answered('give', '1', undefined),
      (error: Error) => asker.answered('give', undefined, error),
    )
  }

  held(): void {}
}
