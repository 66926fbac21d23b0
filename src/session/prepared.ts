import type { PreparedRequests } from '../dialect/dialect.js'
import type { PreparedStatement, RawCallback, RawConnection } from '../typeorm/raw-connection.js'

/** After how many statements of a single request it pays to prepare them. */
const WORTHWHILE = 16

/** How many parameters are kept at hand. */
const REMEMBERED = 1_000

type Kind = 'take' | 'give' | 'giveAndTake'
/** Prepared together: a caller that waits for its releases never sends the other one. */
const LONE: readonly Kind[] = ['take', 'give']
const PAIR: readonly Kind[] = ['giveAndTake']

/**
 * The statements of a lone caller, prepared: the server reads them once, which saves one caller about 7 %.
 * Sessions that are used for a few locks never have them. Where they cannot be prepared (a limit of the server, a proxy, a driver
 * without them) the plain statement is sent.
 */
export class Prepared {
  readonly #connection: RawConnection
  readonly #requests: PreparedRequests | undefined
  readonly #statements: Partial<Record<Kind, PreparedStatement>> = {}
  /** How many plain statements are left before the preparation; Infinity when nothing can be prepared. Written by `send`, `sendPair` and `drop`. */
  #left: number
  #pairsLeft: number
  /** Names tend to be used again, so their parameters are kept. */
  readonly #parameters = new Map<string, string | Buffer>()

  constructor(connection: RawConnection, requests: PreparedRequests | undefined) {
    this.#connection = connection
    this.#requests = requests
    this.#left = this.#pairsLeft = requests && connection.prepare ? WORTHWHILE : Infinity
  }

  /** Sends the request, if its statement is prepared. */
  send(kind: 'take' | 'give', literal: string, callback: RawCallback): boolean {
    const statement = this.#statements[kind]
    if (!statement) {
      if (--this.#left === 0) this.#prepareAll(LONE)
      return false
    }
    const parameter = this.#parameters.get(literal) ?? this.#parameterFor(literal)
    if (parameter === undefined) return false
    statement.execute([parameter], callback)
    return true
  }

  /** The same for a release and the next lock in one statement. */
  sendPair(given: string, taken: string, callback: RawCallback): boolean {
    const statement = this.#statements.giveAndTake
    if (!statement) {
      if (--this.#pairsLeft === 0) this.#prepareAll(PAIR)
      return false
    }
    const first = this.#parameters.get(given) ?? this.#parameterFor(given)
    const second = this.#parameters.get(taken) ?? this.#parameterFor(taken)
    if (first === undefined || second === undefined) return false
    statement.execute([first, second], callback)
    return true
  }

  /** They have failed, or the connection goes back to where it came from. */
  drop(): void {
    this.#left = this.#pairsLeft = Infinity
    for (const kind of [...LONE, ...PAIR]) {
      this.#statements[kind]?.close()
      delete this.#statements[kind]
    }
  }

  #parameterFor(literal: string): string | Buffer | undefined {
    const parameter = this.#requests?.parameter(literal)
    if (parameter === undefined) return undefined
    if (this.#parameters.size >= REMEMBERED) this.#parameters.clear()
    this.#parameters.set(literal, parameter)
    return parameter
  }

  #prepareAll(kinds: readonly Kind[]): void {
    const requests = this.#requests
    if (!requests) return
    for (const kind of kinds) {
      this.#connection.prepare?.(requests[kind], (error, statement) => {
        if (error || !statement) return // the session detects a dead connection automatically
        if (this.#left === Infinity) statement.close()
        else this.#statements[kind] = statement
      })
    }
  }
}
