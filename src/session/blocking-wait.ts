import type { WaitFailure } from '../dialect/dialect.js'
import { singleValue } from '../typeorm/raw-connection.js'
import { monotonicNow } from '../util/clock.js'
import { readWait, type WaitAnswer } from './answers.js'
import type { DirectPlace } from './direct-place.js'
import { ask } from './place.js'
import type { Sessions } from './sessions.js'

/**
 * How a wait ended: `granted`; `marked`, where the server did not wait because another process polls; `over`, at the end of its time;
 * `interrupted` by an error: its cancel, a deadlock, a limit of the server.
 */
export type WaitEnd = 'granted' | 'marked' | 'over' | 'interrupted'

/** What is waited for, and for how long. */
export interface WaitTerms {
  readonly literal: string
  /** The polling mark's literal: while another session holds it, the server does not wait. */
  readonly mark: string
  /** A limit in milliseconds besides those of the lease and the server. Infinity for none. */
  readonly atMost: number
  /** Long enough for the server to find a deadlock, where a server needs time for that. */
  readonly findsDeadlocks: boolean
  /** How many times as long as usual, where the server limits waits. */
  readonly slices: number
}

/** What the slot does with the answer before anything else happens on the connection. */
export interface WaitListener {
  /** The lock has been granted. For a plain grant this is called within the driver's callback. */
  granted(): void
  /** The server has seen a deadlock. The connection's transaction is not usable again yet. */
  deadlocked(error: unknown): void
  /** A wait that the server limits has ended without the lock. The ids of the connections that hold it, or nothing. */
  missed(holders: string): void
}

/**
 * One statement that may block in the server's own queue, and its cancel (`KILL QUERY`, `pg_cancel_backend`).
 *
 * The rule: after a cancel, nothing is sent on the session until the answers of both, the wait and the cancel, are in. A cancel
 * names a connection and not a statement, so a late one ends the connection's next statement. Then, where the wait has no clear answer
 * of its own, the server is asked whether the lock came: the grant may have come just before the cancel.
 *
 * - A wait is cancelled only while it has no answer. The cancel goes out on the shared session; where there is none, on a connection
 *   that is borrowed for it. If neither comes in time, or the server refuses the cancel, the wait ends at its own limit.
 * - A wait lasts a third of the lease at most, so that its answer is a sign of life in time. After an answer that comes late, a new sign
 *   of life is awaited before the lock counts as granted: the lease is counted from when a statement was sent.
 * - Where a failed wait makes the transaction around it refuse everything, the work sends nothing until the transaction is usable
 *   again: a COMMIT would be answered by a ROLLBACK, without an error.
 * - A plain grant is passed on within the driver's callback: the next caller has waited long enough, and every turn of a promise would
 *   come on top.
 * - Where the server cannot say whether the session has the lock, the session is given up: it must not go back to a pool.
 */
export class BlockingWait {
  readonly #sessions: Pick<Sessions, 'shared' | 'inspect' | 'lease'>
  readonly #place: DirectPlace
  readonly #lease: number
  /** Set by `end` when the statement is sent. A lease's part later the answer alone is no sign of life any more. */
  #sentAt = 0
  /** True while the statement is under way: set by `end`, ended by the driver's callback. */
  #isBlocked = false
  /** Empty unless the wait was cancelled. Resolves when the cancel has been answered or can no longer be sent; never rejects. */
  #cancelling: Promise<void> | undefined
  /** Notifies a cancel that has not been sent yet that the wait is over. Empty unless the wait was cancelled. */
  #answered: (() => void) | undefined

  constructor(sessions: Pick<Sessions, 'shared' | 'inspect' | 'lease'>, place: DirectPlace) {
    this.#sessions = sessions
    this.#place = place
    this.#lease = sessions.lease
  }

  /**
   * Sends the statement, and resolves when it and its cancel are over.
   *
   * @throws an error where the session is dead, or had to be given up.
   */
  async end(terms: WaitTerms, listener: WaitListener): Promise<WaitEnd> {
    const { session, source } = this.#place
    const isInTransaction = source?.inTransaction === true
    const held = isInTransaction && session.dialect.afterFailedWait !== undefined ? source : undefined
    held?.holdWork?.(true)
    try {
      return await this.#end(terms, listener, isInTransaction)
    } finally {
      held?.holdWork?.(false)
    }
  }

  async #end(terms: WaitTerms, listener: WaitListener, isInTransaction: boolean): Promise<WaitEnd> {
    const { session } = this.#place
    const { dialect } = session
    let answer: WaitAnswer | undefined
    let failure: WaitFailure | undefined
    try {
      const statement = dialect.wait(terms.literal, terms.mark, this.#longest(terms), isInTransaction)
      const first = await this.#send(statement, listener)
      if (first === 'passed on') return 'granted'
      answer = first
    } catch (error) {
      if (session.lostError) {
        await this.#cancelling
        throw error
      }
      failure = dialect.waitFailure(error)
      if (failure === 'deadlock') listener.deadlocked(error)
    }
    await this.#cancelling
    try {
      if (failure && isInTransaction && dialect.afterFailedWait) await session.ask(dialect.afterFailedWait)
      if (!answer && (await this.#owns(terms.literal, failure, listener))) answer = 'granted'
      if (answer === 'granted' && !this.#isFresh) await session.ask(dialect.keepAlive)
    } catch (error) {
      session.lose(error)
      throw error
    }
    if (answer === 'granted') listener.granted()
    if (answer === 'granted' || answer === 'marked') return answer
    return failure && failure !== 'slice' ? 'interrupted' : 'over'
  }

  /** Whether the lock came all the same. At the end of a slice the list of its holders answers that as well. */
  async #owns(literal: string, failure: WaitFailure | undefined, listener: WaitListener): Promise<boolean> {
    const { session } = this.#place
    if (failure === 'slice' && session.dialect.waitLimits) {
      const holders = await ask(this.#place, 'holderId', literal)
      if (holders !== undefined && !holders.split(' ').includes(session.connectionId)) {
        listener.missed(holders)
        return false
      }
    }
    return (await ask(this.#place, 'owns', literal)) === '1'
  }

  /** Ends the wait on the server, if it is under way. */
  cancel(): void {
    if (!this.#isBlocked || this.#cancelling) return
    const answered = new Promise<void>((resolve) => (this.#answered = resolve))
    const isPooled = this.#place.session.dialect.endsWithTransaction
    const cancelling = isPooled ? this.#cancelFromPool(answered) : this.#cancelFromShared(answered)
    this.#cancelling = cancelling.catch(() => {})
  }

  #longest({ atMost, findsDeadlocks, slices }: WaitTerms): number {
    const limits = this.#place.session.dialect.waitLimits
    const usual = limits ? limits.usual * slices : Infinity
    const most = limits && findsDeadlocks ? Math.max(usual, limits.detecting) : usual
    return Math.max(1, Math.min(this.#lease / 3, atMost, most))
  }

  /** Resolves to undefined where the answer is none. */
  #send(statement: string, listener: WaitListener): Promise<WaitAnswer | 'passed on' | undefined> {
    this.#sentAt = monotonicNow()
    this.#isBlocked = true
    return new Promise((resolve, reject) => {
      this.#place.session.send(statement, (error, rows) => {
        this.#isBlocked = false
        this.#answered?.()
        const answer = error ? undefined : readWait(singleValue(rows))
        if (answer === 'granted' && !this.#cancelling && this.#isFresh) {
          listener.granted()
          resolve('passed on')
        } else if (error) reject(error)
        else resolve(answer)
      })
    })
  }

  get #isFresh(): boolean {
    return monotonicNow() - this.#sentAt <= this.#lease / 6
  }

  async #cancelFromShared(answered: Promise<void>): Promise<void> {
    const { shared } = this.#sessions
    // A session to cancel from may take longer to open than the wait lasts.
    await Promise.race([shared.ready(), answered])
    const { session } = this.#place
    if (!this.#isBlocked || !shared.session || session.lostError) return
    // Connection ids begin again when a server restarts: the id must still mean that session.
    if (shared.session.facts.identity !== session.facts.identity) return
    if (Math.abs(shared.session.facts.startedAt - session.facts.startedAt) > 3) return
    await shared.session.ask(session.dialect.cancel(session.connectionId))
  }

  async #cancelFromPool(answered: Promise<void>): Promise<void> {
    const { session } = this.#place
    let isSent = false
    const cancelling = this.#sessions.inspect(async (ask) => {
      if (!this.#isBlocked || session.lostError) return
      isSent = true
      await ask(session.dialect.cancel(session.connectionId))
    })
    await Promise.race([cancelling.catch(() => {}), answered])
    // What was sent must have been answered before anything else is sent on the session.
    if (isSent) await cancelling
  }
}
