import { ask } from '../session/place.js'
import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'

/** A lock beside a key's own, by which those who poll for it are seen. Held on the shared session. */
class Mark {
  readonly literal: string
  readonly #sessions: Sessions
  /** Where it is held. */
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

  /** Resolves when it is given back. */
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
 * What a polling slot lets others see: the *polling mark* of the key; and the *writers' mark*, where there are reader locks and
 * the key is wanted alone.
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

  /** Without them the slot only waits longer: that they could not be had is no error. */
  async take(wantsAlone: boolean | undefined): Promise<void> {
    const writers = wantsAlone ? this.#writers : undefined
    if (this.#polling.isTaken && (!writers || writers.isTaken)) return
    await Promise.all([this.#polling.take().catch(() => {}), writers?.take().catch(() => {})])
  }

  /** Resolves when they are gone; nobody has to wait for it who does not look at them himself. */
  give(): Promise<unknown> | undefined {
    const answers = [this.#polling.give(), this.#writers?.give()].filter((answer) => answer !== undefined)
    return answers.length === 0 ? undefined : Promise.all(answers)
  }

  lost(session: Session | undefined): void {
    this.#polling.lost(session)
    this.#writers?.lost(session)
  }
}
