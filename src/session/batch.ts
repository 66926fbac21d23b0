import type { Dialect } from '../dialect/dialect.js'
import { isAnswerTo, isOwnership, unexpected } from './answers.js'
import { expressionOf, ownershipOf, type Asker, type Request } from './place.js'
import type { Session } from './session.js'
import { setImmediate } from '../util/clock.js'
import { outside } from '../util/outside.js'

/** The requests of one statement. Its text grows with each request, so that it can be sent as soon as the session is free. */
interface Group {
  readonly entries: Entry[]
  expressions: string
}

interface Entry {
  readonly request: Request
  readonly literal: string
  readonly mark: string | undefined
  readonly asker: Asker
  retried: boolean
}

/** No request is added to a statement of so many characters: locks of several parts have long expressions. */
const LONGEST = 100_000

/** From so many requests on, it is worth answering one half while the server works on the other. */
const CROWD = 16

/**
 * Statement batching for a session that never blocks.
 *
 * While one statement is under way, requests gather; when it returns, all of them go out in one statement, in the order
 * they came. A lone request goes out at once. After a statement with several answers the next one waits for the end of
 * this turn of the event loop, so that all callers that were just answered get their next request into it. Crowds are
 * answered in two groups that take turns: the server works for one while this process answers the other.
 *
 * A statement that fails on a living session may be half executed (KILL QUERY, a time limit), and an unexpected answer (answers.ts)
 * says nothing. One statement then asks what this session owns, and the requests are answered from that. If that fails as well, the
 * session is given up.
 */
export class Batch {
  readonly #session: Session
  readonly #dialect: Dialect
  #gathered: Group[] = []
  /** Requests that wait for the next one, at the latest for the end of this turn of the event loop. Empty but in `#resting`. */
  #later: Entry[] = []
  #flying: Entry[] | undefined
  #resting = false
  readonly #landed = (error: Error | null, rows?: unknown): void => this.#land(error, rows)
  readonly #wake = (): void => {
    this.#resting = false
    if (this.#later.length > 0) this.#gatherLater()
    this.#flush()
  }
  readonly #rest = (): void => {
    this.#resting = true
    setImmediate(this.#wake)
  }

  constructor(session: Session, dialect: Dialect) {
    this.#session = session
    this.#dialect = dialect
  }

  get isIdle(): boolean {
    return !this.#flying && !this.#resting && this.#gathered.length === 0
  }

  ask(request: Request, literal: string, asker: Asker, mark?: string): void {
    const entry = { request, literal, mark, asker, retried: false }
    if (this.isIdle) this.#send([entry], undefined)
    else {
      if (this.#later.length > 0) this.#gatherLater()
      this.#gather(entry)
    }
  }

  /** See Place. A lone caller's release and its next request are one statement by this. */
  askLater(request: Request, literal: string, asker: Asker): void {
    const entry = { request, literal, mark: undefined, asker, retried: false }
    if (this.isIdle) outside(this.#rest)
    if (this.#resting && !this.#flying) this.#later.push(entry)
    else this.#gather(entry)
  }

  takeBack(asker: Asker): boolean {
    const at = this.#later.findIndex((entry) => entry.asker === asker)
    if (at >= 0) this.#later.splice(at, 1)
    return at >= 0
  }

  #gatherLater(): void {
    for (const entry of this.#later.splice(0)) this.#gather(entry)
  }

  #gather(entry: Entry): void {
    const expression = this.#expression(entry)
    const group = this.#gathered.at(-1)
    if (!group || group.entries.length >= this.#dialect.batchLimit || group.expressions.length >= LONGEST) {
      this.#gathered.push({ entries: [entry], expressions: expression })
    } else {
      group.entries.push(entry)
      group.expressions += ',' + expression
    }
  }

  #flush(): void {
    const group = this.#flying ? undefined : this.#gathered.shift()
    if (group) this.#send(group.entries, group.expressions)
  }

  #send(entries: Entry[], expressions: string | undefined): void {
    this.#flying = entries
    const [first, second] = entries as [Entry, Entry | undefined]
    if (expressions !== undefined && second) {
      const sql = this.#dialect.batch(expressions, entries.length)
      const isPair = entries.length === 2 && first.request === 'give' && second.request === 'take'
      if (isPair) this.#session.sendPair(first.literal, second.literal, sql, this.#landed)
      else this.#session.send(sql, this.#landed)
    } else if (first.request === 'take' || first.request === 'give') {
      this.#session.sendLone(first.request, first.literal, this.#landed)
    } else {
      this.#session.send(this.#dialect.single(this.#expression(first)), this.#landed)
    }
  }

  #expression({ request, literal, mark }: Entry): string {
    return expressionOf(this.#dialect, request, literal, mark)
  }

  #land(error: Error | null, rows: unknown): void {
    const flown = this.#flying as Entry[]
    let doubt = error
    if (!doubt) {
      const answers = this.#dialect.readBatch(rows)
      const at = firstUnexpected(flown, answers)
      if (at < 0) {
        this.#settle(flown, answers)
        return
      }
      doubt = unexpected((flown[at] as Entry).request, answers[at])
    }
    if (this.#session.lostError) this.#fail(flown, this.#session.lostError)
    else this.#reconcile(flown, doubt)
  }

  #settle(flown: Entry[], answers: readonly (string | undefined)[]): void {
    this.#flying = undefined
    const isCrowd = flown.length >= CROWD
    if (isCrowd && (this.#gathered[0]?.entries.length ?? 0) * 4 >= flown.length) {
      // Another group is ready: the server works on it while this one is answered.
      this.#flush()
      this.#answerAll(flown, answers, 0, flown.length)
      return
    }
    this.#resting = flown.length > 1 || this.#gathered.length > 0
    // A crowd that comes all at once is made two groups, for the same reason.
    const first = isCrowd ? flown.length >> 1 : flown.length
    this.#answerAll(flown, answers, 0, first)
    if (!this.#resting) return
    setImmediate(() => {
      this.#session.checkLease() // the first of them may have kept this process busy for longer than the lease
      this.#wake()
      this.#answerAll(flown, answers, first, flown.length)
    })
  }

  #answerAll(flown: Entry[], answers: readonly (string | undefined)[], from: number, to: number): void {
    for (let i = from; i < to; i++) this.#answer(flown[i] as Entry, answers[i], undefined)
  }

  /** The session is dead: requests under way and requests that have gathered fail alike. Askers decide whether to ask a new session. */
  #fail(flown: Entry[], error: Error): void {
    const all = [...flown, ...this.#gathered.flatMap((group) => group.entries)]
    this.#flying = undefined
    this.#gathered = []
    for (const entry of all) entry.asker.answered(entry.request, undefined, error)
  }

  #reconcile(flown: Entry[], cause: Error): void {
    // One question for each lock, or group of locks. The same lock is never in a group and asked for alone.
    const questions = [...new Map(flown.map((entry) => [entry.literal, entry.request]))]
    const expressions = questions.map(([literal, request]) => ownershipOf(this.#dialect, request, literal))
    this.#session.send(this.#dialect.batch(expressions.join(','), questions.length), (error, rows) => {
      const answers = error ? [] : this.#dialect.readBatch(rows)
      const isClear =
        answers.length === questions.length && questions.every(([, request], i) => isOwnership(request, answers[i]))
      if (!isClear) {
        this.#session.lose(error ?? cause)
        this.#fail(flown, this.#session.lostError ?? cause)
        return
      }
      this.#answerFrom(flown, new Map(questions.map(([literal], i) => [literal, answers[i] as string])), cause)
    })
  }

  /** Executed requests are a prefix of the statement, so what the session owns now shows for each lock how far the statement got. */
  #answerFrom(flown: Entry[], owned: ReadonlyMap<string, string>, cause: Error): void {
    const last = new Map(flown.filter(changesOwner).map((entry) => [entry.literal, entry]))
    const again: Entry[] = []
    const settled: [Entry, string | undefined, Error | undefined][] = []
    for (const entry of flown) {
      const taken = owned.get(entry.literal) as string
      const isTaken = taken !== '0'
      const isLast = last.get(entry.literal) === entry
      if (entry.request === 'give' && !(isLast && isTaken)) settled.push([entry, '1', undefined])
      else if (takes(entry) && isTaken) settled.push([entry, entry.request === 'passTurn' ? '1/1' : taken, undefined])
      else if (!entry.retried) again.push(entry)
      else settled.push([entry, undefined, cause])
    }
    for (const entry of again) entry.retried = true
    if (again.length > 0) {
      const expressions = again.map((entry) => this.#expression(entry)).join(',')
      this.#gathered.unshift({ entries: again, expressions })
    }
    this.#flying = undefined
    this.#resting = true
    for (const [entry, answer, error] of settled) this.#answer(entry, answer, error)
    setImmediate(this.#wake)
  }

  #answer(entry: Entry, answer: string | undefined, error: Error | undefined): void {
    const { lostError } = this.#session
    // A caller that was answered before may have given the session up: a lock on it is none any more.
    if (lostError) entry.asker.answered(entry.request, undefined, lostError)
    // The first try had released the lock already, or there would have been no second.
    else if (entry.retried && entry.request === 'passTurn')
      entry.asker.answered('passTurn', answer?.replace(/^0/, '1'), error)
    else entry.asker.answered(entry.request, answer, error)
  }
}

/** The index of the first unexpected answer, -1 for none. CONCAT_WS leaves NULLs out, so there may be too few answers. */
function firstUnexpected(flown: readonly Entry[], answers: readonly (string | undefined)[]): number {
  if (answers.length !== flown.length) return 0
  for (let i = 0; i < flown.length; i++) if (!isAnswerTo((flown[i] as Entry).request, answers[i])) return i
  return -1
}

function takes(entry: Entry): boolean {
  return (
    entry.request === 'take' ||
    entry.request === 'takeShared' ||
    entry.request === 'takeFirst' ||
    entry.request === 'passTurn'
  )
}

function changesOwner(entry: Entry): boolean {
  return takes(entry) || entry.request === 'give'
}
