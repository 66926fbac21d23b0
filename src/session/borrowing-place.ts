import type { Dialect } from '../dialect/dialect.js'
import type { Ask } from '../typeorm/raw-connection.js'
import { isAnswerTo, unexpected } from './answers.js'
import { outside } from '../util/outside.js'
import type { Asker, Request } from './place.js'
import type { Shared } from './shared-place.js'
import { queueMicrotask } from '../util/clock.js'

type Question = readonly [request: 'isFree' | 'owns' | 'holderId', literal: string, asker: Asker]

/**
 * Stands in for the shared session behind a pooler that pools transactions, where no session belongs to the library: it holds no locks,
 * and questions about locks go out on a connection that is borrowed for one statement. Questions that come while one is under way share
 * the next statement.
 */
export class Questions implements Shared {
  readonly session = undefined
  readonly isIdle = true
  readonly #inspect: (work: (ask: Ask) => Promise<unknown>) => Promise<unknown>
  readonly #dialect: () => Dialect
  #waiting: Question[] = []
  #isAsking = false
  #isOpening = false

  constructor(inspect: (work: (ask: Ask) => Promise<unknown>) => Promise<unknown>, dialect: () => Dialect) {
    this.#inspect = inspect
    this.#dialect = dialect
  }

  /** True while a connection is being waited for. */
  get isOpening(): boolean {
    return this.#isOpening
  }

  get isOpeningLate(): boolean {
    return this.#isOpening
  }

  ask(request: Request, literal: string, asker: Asker): void {
    if (request === 'isFree' || request === 'owns' || request === 'holderId') {
      this.#waiting.push([request, literal, asker])
      if (!this.#isAsking) void outside(() => this.#askAll())
      return
    }
    // A polling mark is a lock that outlives its statement: there are none here.
    queueMicrotask(() => asker.answered(request, '0', undefined))
  }

  held(): void {}

  ready(): Promise<void> {
    return Promise.resolve()
  }

  abandon(error: Error): void {
    for (const [request, , asker] of this.#waiting.splice(0)) asker.answered(request, undefined, error)
  }

  withdraw(asker: Asker): boolean {
    const rest = this.#waiting.filter((question) => question[2] !== asker)
    const isWithdrawn = rest.length < this.#waiting.length
    this.#waiting = rest
    return isWithdrawn
  }

  settled(): Promise<void> {
    return Promise.resolve()
  }

  drop(): undefined {
    return undefined
  }

  async #askAll(): Promise<void> {
    this.#isAsking = true
    while (this.#waiting.length > 0) {
      let asked: Question[] = []
      try {
        this.#isOpening = true
        const answers = await this.#inspect((ask) => {
          this.#isOpening = false
          // Also those that came while the connection was waited for.
          asked = this.#waiting.splice(0, this.#dialect().batchLimit)
          return this.#answersTo(asked, ask)
        })
        asked.forEach(([request, , asker], i) => {
          const answer = (answers as (string | undefined)[])[i]
          if (isAnswerTo(request, answer)) asker.answered(request, answer, undefined)
          else asker.answered(request, undefined, unexpected(request, answer))
        })
      } catch (error) {
        this.#isOpening = false
        if (asked.length === 0) this.abandon(error as Error)
        for (const [request, , asker] of asked) asker.answered(request, undefined, error as Error)
      }
    }
    this.#isAsking = false
  }

  async #answersTo(asked: readonly Question[], ask: Ask): Promise<(string | undefined)[]> {
    if (asked.length === 0) return []
    const dialect = this.#dialect()
    const expressions = asked.map(([request, literal]) => dialect[request](literal)).join(',')
    return dialect.readBatch(await ask(dialect.batch(expressions, asked.length)))
  }
}
