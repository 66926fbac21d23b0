import { NamedLockClosedError, NamedLockLostError } from '../contract/errors.js'
import { databaseError } from '../contract/database-error.js'
import { ask as askPlace } from '../session/place.js'
import type { RunnerLike } from '../typeorm/raw-connection.js'
import { queryWithin } from '../session/query-within.js'
import type { Sessions } from '../session/sessions.js'
import type { Targets } from '../names/targets.js'
import type { OwningService } from './owning-service.js'
import { SharedQuestion } from './shared-question.js'

/** How often the question is sent when connections die, or the statement is cancelled, before an answer comes. */
const MOST_TRIES = 5

/**
 * Asks the server for the namespace, where it has to be known before the first key. Done once for a service.
 *
 * The rule: the question costs a caller no connection that its lock does not need. An ordinary lock asks on the shared session, a
 * transaction and a dedicated lock on a work session, and `lockTransaction` on the application's own connection.
 */
export class Settling {
  readonly #targets: Targets
  readonly #sessions: Sessions
  readonly #owner: OwningService
  readonly #onShared = new SharedQuestion(() => this.#untilClosed(this.#retried(() => this.#askOnShared())))
  readonly #onWork = new SharedQuestion(() => this.#untilClosed(this.#retried(() => this.#askOnWork())))

  constructor(targets: Targets, sessions: Sessions, owner: OwningService) {
    this.#targets = targets
    this.#sessions = sessions
    this.#owner = owner
  }

  onShared(signal?: AbortSignal): Promise<void> {
    return this.#onShared.answered(signal)
  }

  onWork(signal?: AbortSignal): Promise<void> {
    return this.#onWork.answered(signal)
  }

  /** A transaction must not wait for another connection of the pool, and waits for one answer only. */
  async onRunner(runner: Pick<RunnerLike, 'connect'>): Promise<void> {
    const connection = this.#sessions.dialect.wire(await runner.connect())
    await this.#targets.settle((sql) => queryWithin(connection, sql, this.#owner.settings.lease))
  }

  async #askOnShared(): Promise<void> {
    const { shared, dialect } = this.#sessions
    // A request like a lock's, so that an unreachable database fails it with the same error.
    await askPlace(shared, 'isFree', dialect.markLiteral('settled'))
    const { session } = shared
    await this.#targets.settle((sql) => (session ? session.ask(sql) : this.#sessions.inspect((ask) => ask(sql))))
  }

  async #askOnWork(): Promise<void> {
    const { work } = this.#sessions
    const session = await work.take()
    try {
      await this.#targets.settle((sql) => session.ask(sql))
    } finally {
      await work.putBack(session)
    }
  }

  /** A connection that dies here held no lock, and KILL QUERY is no fault of the server: the question is sent again. */
  async #retried(ask: () => Promise<void>): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await ask()
        return
      } catch (error) {
        const isPassing =
          error instanceof NamedLockLostError || this.#sessions.dialect.waitFailure(error) === 'cancelled'
        if (isPassing && tries < MOST_TRIES && !this.#owner.isClosing) continue
        throw databaseError("The server did not answer the question for the database's name", error)
      }
    }
  }

  /** A caller may wait for a connection of the pool when its service closes, and other services may go on with the sessions. */
  #untilClosed(answer: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const closed = (): void => reject(new NamedLockClosedError('The lock service was closed.'))
      const forget = this.#owner.whenClosing(closed)
      void answer.then(resolve, reject).then(forget)
    })
  }
}
