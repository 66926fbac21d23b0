import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { SessionSource } from '../session/session-source.js'
import { BoundRunner } from './bound-runner.js'
import type { Session } from '../session/session.js'
import type { WorkSessions } from '../session/work-sessions.js'

/**
 * One connection of its own for all locks of a call, and for the work under them. Borrowed for the first lock and returned after
 * the last; or passed on, with the lock that is held on it, to the next caller of this process that waits for that lock.
 */
export class DedicatedSource implements SessionSource {
  readonly #dataSource: DataSourceLike
  readonly #pool: WorkSessions
  #taking: Promise<Session> | undefined
  #session: Session | undefined
  /** The session of work that has ended, for its EntityManager: another call may use it by now. Written by endWork. */
  #last: Session | undefined
  /** How many claims of the call use it. Written by open, close and takeOver. */
  #users = 0
  #bound: BoundRunner | undefined
  /** The QueryRunners of tries that have failed; undefined until the first one has. */
  #earlier: WeakSet<object> | undefined
  #hasEnded = false

  constructor(dataSource: DataSourceLike, pool: WorkSessions) {
    this.#dataSource = dataSource
    this.#pool = pool
  }

  get isInUse(): boolean {
    return this.#users > 0
  }

  get inTransaction(): boolean {
    return this.#bound?.runner.isTransactionActive ?? false
  }

  get obstacle(): string | undefined {
    return this.#taking && this.#pool.obstacle
  }

  /** Makes the work's QueryRunner ready while the server is asked for the lock. */
  prepare(): void {
    if (this.#session) void this.bound
  }

  /** A QueryRunner on the connection, for the work. */
  get bound(): BoundRunner {
    return (this.#bound ??= new BoundRunner(this.#dataSource, this.#session as Session))
  }

  /**
   * Ends the work of a try, and makes a new QueryRunner for the next one: branches of the work that go on, and levels that it has left
   * open, have no part in the next transaction. Loses the session if the transaction of the try has not ended.
   */
  renew(): void {
    const { runner } = this.bound
    this.bound.close()
    this.#earlier = (this.#earlier ?? new WeakSet()).add(runner)
    this.#bound = new BoundRunner(this.#dataSource, this.#session as Session, undefined, this.#earlier)
  }

  get manager(): unknown {
    if (!this.#bound && this.#last) {
      this.#bound = new BoundRunner(this.#dataSource, this.#last)
      this.#bound.close() // its EntityManager only reports that the lock has ended
    }
    return this.#bound || this.#session ? this.bound.runner.manager : undefined
  }

  openAtOnce(): Session | undefined {
    this.#session = this.#users > 0 ? this.#session : this.#pool.takeAtOnce()
    if (!this.#session || this.#session.lostError) return undefined
    this.#users++
    return this.#session
  }

  async open(): Promise<Session> {
    const session = this.openAtOnce()
    if (session) return session
    // A dead connection is replaced, unless it was holding another lock of the call.
    if (this.#users > 0 && this.#session?.lostError) throw this.#session.lostError
    this.#users++
    this.#taking ??= this.#pool.take()
    try {
      this.#session = await this.#taking
      if (this.#session.lostError) throw this.#session.lostError
      return this.#session
    } catch (error) {
      this.#users--
      throw error
    } finally {
      this.#taking = undefined
    }
  }

  async close(session: Session): Promise<void> {
    if (--this.#users > 0) return
    this.#session = undefined
    if (!this.#hasEnded) this.#bound = undefined // it was made for a session that did not get the lock
    await this.#pool.putBack(session)
  }

  canTakeOver(from: SessionSource): boolean {
    // Not while it holds other locks, and not while callers wait for a connection of the pool: they are first.
    return from instanceof DedicatedSource && from.#users === 1 && this.#users === 0 && !this.#pool.hasPoolWaiters
  }

  takeOver(from: SessionSource): void {
    const other = from as DedicatedSource
    this.#session = other.#session
    this.#users = 1
    other.#session = undefined
    other.#users = 0
  }

  endWork(): void {
    this.#hasEnded = true
    this.#last ??= this.#session
    this.#bound?.close()
  }
}
