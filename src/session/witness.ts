import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { Dialect } from '../dialect/dialect.js'
import type { Ask } from '../typeorm/raw-connection.js'
import type { RawConnection, RunnerLike } from '../typeorm/raw-connection.js'
import { outside } from '../util/outside.js'
import { isConnectionLimit } from '../dialect/connection-limit.js'
import { OwnConnections } from './own-data-source.js'
import { queryWithin } from './query-within.js'
import { thisMoment } from './lease.js'
import type { Session } from './session.js'
import type { Shared } from './shared-place.js'
import { within } from '../util/within.js'

/** Where the service's own connections can be asked. */
export interface Nearby {
  readonly shared: Shared
  inspect<T>(work: (ask: Ask) => Promise<T>): Promise<T>
}

/** Which questions about a session are under way. */
interface Asked {
  nearby: boolean
  beside: boolean
}

/**
 * Asks the server, on another connection, whether a session's statement is still running.
 *
 * The rule: while a statement of the work is under way, the session lives only as long as another connection has seen it at work within
 * the lease. The server begins its own count when the statement has ended, so a session that was seen at work at some moment keeps its
 * locks for the lease from that moment. Anything but a clear yes renews nothing: an idle connection whose answer was lost, an error,
 * no answer at all.
 *
 * A statement on a healthy network must not end for lack of a witness. The shared session is asked first; when that does not answer
 * soon, because it is silent, has died or waits for the pool, a connection beside the pool is opened for the question. Connections
 * of the pool cannot stand in: a full pool has none, and in a pool of connections that the network has forgotten, each of them
 * would take a timeout to find out.
 *
 * Migrations may run on the only connection that their account can have. For them, a server that refuses one more connection for that
 * reason is a witness as well: it lives, and what stands in the way is their connection. No statement that is already under way could be
 * stopped by giving it up, and all others are sent on that connection.
 */
export class Witness {
  readonly #dataSource: DataSourceLike
  readonly #patience: number
  readonly #dialect: () => Dialect
  readonly #nearby: Nearby
  readonly #asked = new WeakMap<Session, Asked>()

  /** @param patience How long the connection beside the pool may take, in milliseconds. */
  constructor(dataSource: DataSourceLike, patience: number, dialect: () => Dialect, nearby: Nearby) {
    this.#dataSource = dataSource
    this.#patience = patience
    this.#dialect = dialect
    this.#nearby = nearby
  }

  /**
   * To be called again until the session has been seen: the second call does not rely on what the first has asked.
   *
   * @param isAlone The session may be the only connection that the account can have. No connection of the pool is asked for.
   */
  ask(session: Session, isAlone = false): void {
    let asked = this.#asked.get(session)
    if (!asked) this.#asked.set(session, (asked = { nearby: false, beside: false }))
    const way = asked.nearby || isAlone ? 'beside' : 'nearby'
    if (asked[way]) return
    asked[way] = true
    const asking = outside(() => (way === 'nearby' ? this.#askNearby(session) : this.#askBeside(session, isAlone)))
    // The session has not been seen at work, so its deadline stands.
    void asking.catch(() => {}).then(() => (asked[way] = false))
  }

  async #askNearby(session: Session): Promise<void> {
    const { shared } = this.#nearby
    await shared.ready()
    const other = shared.session
    if (other) await this.#askBy((sql) => other.ask(sql), session)
    else await this.#nearby.inspect((ask) => this.#askBy(ask, session))
  }

  async #askBeside(session: Session, isAlone: boolean): Promise<void> {
    const dialect = this.#dialect()
    const sentAt = thisMoment()
    const own = new OwnConnections(this.#dataSource, dialect.pool, () => 1, this.#patience)
    try {
      const open = async (): Promise<[RunnerLike, RawConnection]> => {
        // The primary has the locks.
        const one = (await own.get()).createQueryRunner('master') as RunnerLike
        return [one, await one.connect()]
      }
      const [runner, connection] = await within(open(), this.#patience, undefined, unanswered)
      await this.#askBy((sql) => queryWithin(dialect.wire(connection), sql, this.#patience), session)
      await runner.release()
    } catch (error) {
      if (isAlone && isConnectionLimit(error)) session.seenAtWork(sentAt)
      throw error
    } finally {
      await own.close()
    }
  }

  async #askBy(ask: Ask, session: Session): Promise<void> {
    const dialect = this.#dialect()
    const sentAt = thisMoment()
    const rows = await ask(dialect.atWork(session.connectionId))
    if (dialect.readAtWork(rows, session.facts)) session.seenAtWork(sentAt)
  }
}

const unanswered = (): Error => new Error('the server did not answer')
