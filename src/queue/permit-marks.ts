import type { Session } from '../session/session.js'
import type { Sessions } from '../session/sessions.js'
import { Mark } from './marks.js'

/**
 * The polling marks of a name's permits. A process may hold some permits and poll for more, so it cannot see by one mark whether
 * another process polls as well: the mark may be its own. There are two. A process that polls takes the first one that is free, so
 * it never has both; if any other process polls, the mark that this one does not have is held.
 *
 * Like all marks they are hints. Where a process has no mark because two others have them, these two stand for it.
 */
export class PermitMarks {
  readonly #first: Mark
  readonly #second: Mark
  /** The process polls: a mark that arrives when it does not any more is released. */
  #isWanted = false
  #isTaking = false

  constructor(markKey: string, sessions: Sessions) {
    this.#first = new Mark(sessions.markOf(markKey), sessions)
    this.#second = new Mark(sessions.markOf(`${markKey} second`), sessions)
  }

  /** The mark that another process has if it polls. */
  get ofOthers(): string {
    return (this.#first.isTaken ? this.#second : this.#first).literal
  }

  take(): void {
    this.#isWanted = true
    if (!this.#isTaking && !this.#first.isTaken) void this.#take()
  }

  give(): void {
    this.#isWanted = false
    if (this.#isTaking) return
    void this.#first.give()
    void this.#second.give()
  }

  lost(session: Session | undefined): void {
    this.#first.lost(session)
    this.#second.lost(session)
  }

  /** Never rejects. The first mark is asked for again and again: alone it is enough for others to see. */
  async #take(): Promise<void> {
    this.#isTaking = true
    await this.#first.take().catch(() => {})
    if (this.#first.isTaken) void this.#second.give()
    else await this.#second.take().catch(() => {})
    this.#isTaking = false
    if (!this.#isWanted) this.give()
  }
}
