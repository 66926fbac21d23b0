import type { Closing } from './closing.js'
import { NamedLockClosedError, NamedLockLostError, NamedLockTimeoutError } from '../contract/errors.js'
import { databaseError } from '../contract/database-error.js'
import { ask as askPlace } from '../session/place.js'
import type { RunnerLike } from '../typeorm/raw-connection.js'
import { queryWithin } from '../session/query-within.js'
import type { Sessions } from '../session/sessions.js'
import type { Targets } from '../names/targets.js'
import { within } from '../util/within.js'

/** How often the question is sent when connections die, or the statement is cancelled, before it is answered. */
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
  readonly #closing: Closing
  readonly #patience: number
  readonly #onShared = new Question(() => this.#untilClosed(this.#retried(() => this.#askOnShared())))
  readonly #onWork = new Question(() => this.#untilClosed(this.#retried(() => this.#askOnWork())))

  constructor(targets: Targets, sessions: Sessions, closing: Closing, patience: number) {
    this.#targets = targets
    this.#sessions = sessions
    this.#closing = closing
    this.#patience = patience
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
    await this.#targets.settle((sql) => queryWithin(connection, sql, this.#patience))
  }

  async #askOnShared(): Promise<void> {
    const { shared, dialect } = this.#sessions
    // A request like a lock's: an unreachable database answers it with its error.
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

  /** A connection that dies here held no lock, and KILL QUERY says nothing about the server: the question is sent again. */
  async #retried(ask: () => Promise<void>): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await ask()
        return
      } catch (error) {
        const isPassing =
          error instanceof NamedLockLostError || this.#sessions.dialect.waitFailure(error) === 'cancelled'
        if (isPassing && tries < MOST_TRIES && !this.#closing.hasBegun) continue
        throw databaseError("The server did not answer the question for the database's name", error)
      }
    }
  }

  /** The pool may keep a caller waiting for longer than its service lives, and other services may go on with the sessions. */
  #untilClosed(answer: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const closed = (): void => reject(new NamedLockClosedError('The lock service was closed.'))
      const forget = this.#closing.whenBegun(closed)
      void answer.then(resolve, reject).then(forget)
    })
  }
}

/** One question for all callers that wait for its answer. */
class Question {
  readonly #ask: () => Promise<void>
  #asking: Promise<void> | undefined
  readonly #unless = new Map<AbortSignal, Promise<void>>()

  constructor(ask: () => Promise<void>) {
    this.#ask = ask
  }

  /** The answer, or the signal's reason. One listener for all callers of a signal: Node.js warns of more than ten. */
  answered(signal: AbortSignal | undefined): Promise<void> {
    if (!signal) return this.#answer()
    let answered = this.#unless.get(signal)
    if (!answered) {
      answered = within(this.#answer(), Infinity, signal, timedOut).finally(() => this.#unless.delete(signal))
      this.#unless.set(signal, answered)
    }
    return answered
  }

  #answer(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => (this.#asking = undefined))
    return this.#asking
  }
}

const timedOut = (): Error => new NamedLockTimeoutError('The database did not answer.')
