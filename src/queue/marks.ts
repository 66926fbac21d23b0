import { ask } from '../session/place.js'
import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'

/** A lock beside a key's own, by which other processes see that this one polls for the key. Held on the shared session. */
export class Mark {
  readonly literal: string
  readonly #sessions: Sessions
  /** Where the mark is held. Set by `take`; emptied by `give`, and when the session is lost. */
  #session: Session | undefined

  constructor(literal: string, sessions: Sessions) {
    this.literal = literal
    this.#sessions = sessions
  }

  get isTaken(): boolean {
    return this.#session !== undefined
  }

  async take(): Promise<void> {
    const { shared } = this.#sessions
    if (this.isTaken || (await ask(shared, 'take', this.literal)) !== '1') return
    this.#session = shared.session
    shared.held(1, shared.session)
  }

  /** Resolves when the mark is released; undefined where it was not held. */
  give(): Promise<unknown> | undefined {
    const session = this.#session
    if (!session) return undefined
    this.#session = undefined
    const { shared } = this.#sessions
    if (session !== shared.session) return undefined
    shared.held(-1, session)
    return ask(shared, 'give', this.literal).catch(() => {})
  }

  lost(session: Session | undefined): void {
    if (this.#session === session) this.#session = undefined
  }
}

/**
 * What a polling slot shows to other processes: the *polling mark* of its key, at which holders look at the end of their turn; and
 * the *writers' mark*, where there are reader locks and the slot polls to hold the key alone: readers leave the key alone for a while.
 *
 * A mark is only a hint. It is missing while there is no shared session, when the question for it fails, and when another process
 * holds it already; without it the slot only waits longer.
 */
export class Marks {
  readonly #polling: Mark
  readonly #writers: Mark | undefined

  constructor(exclusionKey: string, sessions: Sessions) {
    const { polling, writers } = sessions.marksOf(exclusionKey)
    this.#polling = new Mark(polling, sessions)
    if (writers !== undefined) this.#writers = new Mark(writers, sessions)
  }

  /** The polling mark's literal. */
  get literal(): string {
    return this.#polling.literal
  }

  /** Never rejects. */
  async take(wantsAlone: boolean | undefined): Promise<void> {
    const writers = wantsAlone ? this.#writers : undefined
    if (this.#polling.isTaken && (!writers || writers.isTaken)) return
    await Promise.all([this.#polling.take().catch(() => {}), writers?.take().catch(() => {})])
  }

  /** Resolves when the marks are released. Only a wait that looks at the mark itself has to await that. */
  give(): Promise<unknown> | undefined {
    const answers = [this.#polling.give(), this.#writers?.give()].filter((answer) => answer !== undefined)
    return answers.length === 0 ? undefined : Promise.all(answers)
  }

  lost(session: Session | undefined): void {
    this.#polling.lost(session)
    this.#writers?.lost(session)
  }
}
