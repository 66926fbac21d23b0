import { randomUUID } from 'node:crypto'
import { SHORTEST_LEASE } from '../contract/settings.js'
import type { Finding } from '../contract/lock-info.js'
import type { Dialect, ServerFacts } from '../dialect/dialect.js'
import { MARKS } from '../dialect/marks.js'
import { serverLeaseSeconds } from '../dialect/server-lease.js'
import type { ConnectionBeside } from '../session/connections-beside.js'
import { monotonicNow, sleep } from '../util/clock.js'
import { findings, type ProbeFinding } from './probe-findings.js'

/** How much longer than any other answer the answer to a try may take, in milliseconds, and how many tries must take that long. */
const AT_ONCE = 500
const SLOW_TRIES = 3
/** How long the server has to free the locks of a session that was closed, or whose lease is over, in milliseconds. */
const FREED_WITHIN = 5_000
const LOOK_EVERY = 50

/**
 * The full probe of `check()`: whether the server's locks do what the library promises of them, asked on sessions of its own, about a
 * lock that no caller asks for. It stops where further answers would mean nothing.
 */
export class Probe {
  readonly #dialect: Dialect
  readonly #open: () => Promise<ConnectionBeside>
  readonly #lease: number
  readonly #key: string
  /** What an error of the lock functions says about the server. */
  #unfit: Finding | undefined

  constructor(dialect: Dialect, open: () => Promise<ConnectionBeside>, lease: number) {
    this.#dialect = dialect
    this.#open = open
    this.#lease = lease
    this.#key = dialect.literal(dialect.keyFor(MARKS, `probe:${randomUUID()}`))
  }

  /** @param withLease Also waits until a lease is over, on one more session. */
  async run(withLease: boolean): Promise<Finding[]> {
    const first = await this.#session(this.#lease)
    const second = await this.#session(this.#lease)
    if (first.facts.identity !== second.facts.identity)
      return [findings.SEVERAL_SERVERS(first.facts.identity, second.facts.identity)]
    const refused = await this.#refusal(first)
    if (refused) return this.#unfit ? [this.#unfit, refused] : [refused]
    const shared = await this.#isShared(second)
    if (shared) return [shared]
    const found = [
      await this.#isSlow(second),
      await this.#isHolderWrong(first, second),
      await this.#areExpressionsRefused(first),
      await this.#isKept(first, second),
    ].filter((finding) => finding !== undefined)
    if (!withLease || found.some(({ code }) => code === 'LOCKS_OUTLIVE_SESSIONS')) return found
    const late = await this.#isLeaseIgnored(second)
    return late ? [...found, late] : found
  }

  async #session(lease: number): Promise<ProbeSession> {
    const connection = await this.#open()
    const { ask } = connection
    // Behind a transaction pooler a transaction takes the place of a session.
    const inTransaction = this.#dialect.endsWithTransaction === true
    if (inTransaction) await ask('BEGIN')
    const facts = await this.#dialect.open(ask, lease, inTransaction ? 'begun' : 'probe', connection.connection)
    return { connection, facts }
  }

  /** The answer to a request about the probe's lock; an error of the server is an answer, too. */
  async #ask({ connection }: ProbeSession, expression: string): Promise<string> {
    const dialect = this.#dialect
    try {
      return dialect.readBatch(await connection.ask(dialect.single(expression)))[0] ?? 'NULL'
    } catch (error) {
      if (!dialect.isAnswer(error)) throw error
      this.#unfit ??= dialect.refusalOf?.(error)
      return `the error "${(error as Error).message}"`
    }
  }

  #take(session: ProbeSession): Promise<string> {
    return this.#ask(session, this.#dialect.take(this.#key))
  }

  async #refusal(first: ProbeSession): ProbeFinding {
    const answer = await this.#take(first)
    return answer === '1' ? undefined : findings.LOCKS_REFUSED(answer)
  }

  async #isShared(second: ProbeSession): ProbeFinding {
    const answer = await this.#take(second)
    if (answer === '1') return findings.LOCKS_NOT_EXCLUSIVE()
    return answer === '0' ? undefined : findings.LOCKS_REFUSED(answer)
  }

  /** A slow network or a busy machine makes all answers slow. */
  async #isSlow(second: ProbeSession): ProbeFinding {
    let least = Infinity
    for (let tries = 0; tries < SLOW_TRIES; tries++) {
      const from = monotonicNow()
      await second.connection.ask(this.#dialect.keepAlive)
      const between = monotonicNow()
      await this.#take(second)
      least = Math.min(least, monotonicNow() - between - (between - from))
      if (least < AT_ONCE) return undefined
    }
    return findings.TRY_BLOCKS(least)
  }

  async #isHolderWrong(first: ProbeSession, second: ProbeSession): ProbeFinding {
    const answer = await this.#ask(second, this.#dialect.holderId(this.#key))
    const { connectionId } = first.facts
    return answer === connectionId ? undefined : findings.HOLDER_UNKNOWN(answer, connectionId)
  }

  /** The end of a turn is the largest of all: a release, a question and a request in one expression. */
  async #areExpressionsRefused(first: ProbeSession): ProbeFinding {
    if (this.#dialect.endsWithTransaction) return undefined
    const mark = this.#dialect.markLiteral(`probe:${randomUUID()}`)
    const answer = await this.#ask(first, this.#dialect.passTurn(this.#key, mark))
    return answer === '1/1' ? undefined : findings.EXPRESSIONS_REFUSED(answer)
  }

  async #isKept(first: ProbeSession, second: ProbeSession): ProbeFinding {
    first.connection.end()
    return (await this.#isFreeWithin(second, FREED_WITHIN)) ? undefined : findings.LOCKS_OUTLIVE_SESSIONS(FREED_WITHIN)
  }

  async #isLeaseIgnored(second: ProbeSession): ProbeFinding {
    const silent = await this.#session(SHORTEST_LEASE)
    // Then another finding says so.
    if (silent.facts.lease === undefined || (await this.#take(silent)) !== '1') return undefined
    const patience = serverLeaseSeconds(SHORTEST_LEASE) * 1000 + FREED_WITHIN
    const isFree = await this.#isFreeWithin(second, patience)
    silent.connection.end()
    return isFree ? undefined : findings.LEASE_NOT_ENFORCED(serverLeaseSeconds(SHORTEST_LEASE), patience)
  }

  async #isFreeWithin(session: ProbeSession, patience: number): Promise<boolean> {
    const until = monotonicNow() + patience
    for (;;) {
      if ((await this.#ask(session, this.#dialect.isFree(this.#key))) === '1') return true
      if (monotonicNow() > until) return false
      await sleep(LOOK_EVERY)
    }
  }
}

interface ProbeSession {
  readonly connection: ConnectionBeside
  readonly facts: ServerFacts
}
