import type { Dialect } from '../dialect/dialect.js'
import type { SessionSource } from '../queue/claim.js'
import { expressionOf, type Asker, type Place, type Request } from './place.js'
import type { Session } from './session.js'

/** A session that holds one lock at a time: a waiting session, a dedicated one, a transaction's. One statement per request. */
export class DirectPlace implements Place {
  readonly session: Session
  source: SessionSource | undefined
  readonly #dialect: Dialect

  constructor(session: Session, dialect: Dialect, source?: SessionSource) {
    this.session = session
    this.#dialect = dialect
    this.source = source
  }

  ask(request: Request, literal: string, asker: Asker, mark?: string): void {
    const dialect = this.#dialect
    if (request === 'give' && dialect.endsWithTransaction) {
      this.#endTransaction(asker)
      return
    }
    this.session.send(dialect.single(expressionOf(dialect, request, literal, mark)), (error, rows) => {
      const answer = error ? undefined : dialect.readBatch(rows)[0]
      asker.answered(request, answer, error ?? undefined)
    })
  }

  /** Where locks end with their transaction: one that others run ends when they say so. */
  #endTransaction(asker: Asker): void {
    const ended = this.source?.endTransaction?.() ?? Promise.resolve()
    ended.then(
      () => asker.answered('give', '1', undefined),
      (error: Error) => asker.answered('give', undefined, error),
    )
  }

  held(): void {}
}
