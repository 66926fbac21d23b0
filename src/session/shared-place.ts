import type { Dialect } from '../dialect/dialect.js'
import { Batch } from './batch.js'
import type { Asker, Place, Request } from './place.js'
import type { Session } from './session.js'
import { monotonicNow } from '../util/clock.js'

/** Opening a session takes less on a healthy network, in milliseconds. */
const LATE = 250

/** The shared session, or what stands in for it (borrowing-place.ts). */
export type Shared = Place &
  Pick<SharedPlace, 'isOpening' | 'isOpeningLate' | 'isIdle' | 'ready' | 'abandon' | 'withdraw' | 'settled'> & {
    drop(): Session | undefined
  }

/**
 * The shared session: it holds any number of locks and never blocks. Opened by the first request, opened anew by the
 * first request after it died, returned to the pool when it has held nothing for a while.
 */
export class SharedPlace implements Place {
  readonly #open: () => Promise<Session>
  readonly #dialect: () => Dialect
  #session: Session | undefined
  #batch: Batch | undefined
  #opening: Promise<void> | undefined
  #openingSince = 0
  /** Requests that came before there was a session. */
  #early: [Request, string, Asker, string | undefined][] = []
  #locks = 0

  constructor(open: () => Promise<Session>, dialect: () => Dialect) {
    this.#open = open
    this.#dialect = dialect
  }

  get session(): Session | undefined {
    return this.#session
  }

  /** True while a connection for it is being waited for. */
  get isOpening(): boolean {
    return this.#opening !== undefined
  }

  /** The same, for so long that it is the reason why callers wait. */
  get isOpeningLate(): boolean {
    return this.isOpening && monotonicNow() - this.#openingSince > LATE
  }

  get isIdle(): boolean {
    return this.#locks === 0 && (this.#batch?.isIdle ?? true)
  }

  ask(request: Request, literal: string, asker: Asker, mark?: string): void {
    if (this.#batch) {
      this.#batch.ask(request, literal, asker, mark)
      return
    }
    this.#early.push([request, literal, asker, mark])
    void this.ready().catch(() => {})
  }

  askLater(request: Request, literal: string, asker: Asker): void {
    if (this.#batch) this.#batch.askLater(request, literal, asker)
    else this.ask(request, literal, asker)
  }

  takeBack(asker: Asker): boolean {
    return this.#batch?.takeBack(asker) ?? false
  }

  held(change: 1 | -1, session: Session | undefined): void {
    if (session === this.#session) this.#locks += change
  }

  /** Resolves when there is a session; rejects with why there is none. */
  ready(): Promise<void> {
    if (this.#session) return Promise.resolve()
    if (this.#opening) return this.#opening
    this.#openingSince = monotonicNow()
    this.#opening = this.#open().then(
      (session) => {
        this.#opening = undefined
        this.#session = session
        this.#batch = new Batch(session, this.#dialect())
        this.#locks = 0
        for (const request of this.#early.splice(0)) this.#batch.ask(...request)
      },
      (error: Error) => {
        this.#opening = undefined
        for (const [request, , asker] of this.#early.splice(0)) asker.answered(request, undefined, error)
        throw error
      },
    )
    return this.#opening
  }

  /** Requests that have found no session yet are answered with this error. */
  abandon(error: Error): void {
    for (const [request, , asker] of this.#early.splice(0)) asker.answered(request, undefined, error)
  }

  /** Withdraws what `asker` asked before there was a session; the asker gets no answer then. False when nothing is left to withdraw. */
  withdraw(asker: Asker): boolean {
    const rest = this.#early.filter((request) => request[2] !== asker)
    const isWithdrawn = rest.length < this.#early.length
    this.#early = rest
    return isWithdrawn
  }

  /** Resolves when every request before it is answered. */
  async settled(): Promise<void> {
    const batch = this.#batch
    if (!batch) return
    await new Promise<void>((resolve) => {
      batch.ask('isFree', this.#dialect().markLiteral('settled'), { answered: () => resolve() })
    })
  }

  /** Forgets a session that died or goes back to the pool; the next request opens another. */
  drop(): Session | undefined {
    const session = this.#session
    this.#session = undefined
    this.#batch = undefined
    this.#locks = 0
    return session
  }
}
