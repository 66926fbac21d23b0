import { NamedLockLostError } from '../contract/errors.js'
import type { Dialect, ServerFacts, TransactionStatus } from '../dialect/dialect.js'
import { unfit } from '../dialect/engines.js'
import type { RawCallback, RawConnection, RunnerLike } from '../typeorm/raw-connection.js'
import { clearTimeout, monotonicNow, setTimeout, wallNow } from '../util/clock.js'
import { outside } from '../util/outside.js'
import { Lease, thisMoment, timeSince, type LeaseTimes, type Moment } from './lease.js'
import { Prepared } from './prepared.js'

/** The owner of sessions, notified of what happens to them. */
export interface SessionsListener {
  /** The session is dead, and all locks on it are lost. Called once, before anything that waits for its statements gets an answer. */
  sessionLost(session: Session, error: NamedLockLostError): void
  /**
   * Work keeps the session's connection busy for long, so the session cannot ask the server itself whether the lock is still held: only
   * another connection can. Called again and again until the server has answered.
   */
  sessionSilent(session: Session): void
}

export type LostListener = (session: Session, error: NamedLockLostError) => void

/**
 * One pinned connection that belongs to the library, with its heartbeat and its lease (lease.ts says how that is measured).
 *
 * A session is lost when its connection ends or fails, when a statement of its own fails without an answer of the server, or when
 * its lease is over; then all locks on it are lost. A lost session never comes back: its listeners are notified, its socket is
 * destroyed, its runner released (once), and its pending statements fail, in this order.
 *
 * While the lease is doubtful the session is in use but not certain. It asks the server, on this very connection. With the answer
 * it is certain again; without one it is lost when the connection fails, or at its deadline.
 */
export class Session {
  readonly facts: ServerFacts
  readonly dialect: Dialect
  /** The driver's connection, for the work under the lock. */
  readonly connection: RawConnection

  readonly #owner: SessionsListener
  readonly #runner: RunnerLike
  /** The connection as the library's statements are sent on it. */
  readonly #wire: RawConnection
  readonly #lease: Lease
  readonly #prepared: Prepared
  /** The callbacks of statements without an answer, in the order of sending. */
  readonly #pending = new Set<RawCallback>()
  readonly #ended = () => this.lose(new Error('the connection was closed'))
  readonly #failed = (error?: unknown) => this.lose(error ?? new Error('the connection failed'))
  readonly #letPoolEnd: () => void
  /** Beside the owner; undefined until the first `whenLost`, and after `giveBack`. */
  #lostListeners: Set<LostListener> | undefined
  /** Statements of the work that are in flight on this connection. Written by `workBegins` and `workEnds`. */
  #working = 0
  /** Set once, by `lose`. */
  #lostError: NamedLockLostError | undefined
  #isReleased = false
  #hasNote = false
  #lastUsed = monotonicNow()
  #transactionStatus: TransactionStatus | undefined
  #timer: NodeJS.Timeout | undefined

  /** @param openedAt When the statement was sent that began the lease on the server. */
  constructor(
    owner: SessionsListener,
    runner: RunnerLike,
    connection: RawConnection,
    dialect: Dialect,
    times: LeaseTimes,
    facts: ServerFacts,
    openedAt: Moment,
  ) {
    this.#owner = owner
    this.#runner = runner
    this.connection = connection
    this.#wire = dialect.wire(connection)
    this.dialect = dialect
    this.#prepared = new Prepared(this.#wire, dialect.prepared)
    this.#lease = new Lease(dialect.keepsLocksForever ? ENDLESS : times, openedAt)
    this.facts = facts
    this.#transactionStatus = facts.status
    this.#letPoolEnd = dialect.pool.onEnd(connection, runner, () =>
      this.lose(new Error('the DataSource was destroyed')),
    )
    connection.on('end', this.#ended)
    connection.on('error', this.#failed)
    this.#setTimer()
  }

  get connectionId(): string {
    return this.facts.connectionId
  }

  /** Set once the session is dead. Compares no clocks: see `checkLease`. */
  get lostError(): NamedLockLostError | undefined {
    return this.#lostError
  }

  /** Whether statements of the library are under way. */
  get isBusy(): boolean {
    return this.#pending.size > 0
  }

  /** Whether a statement of the work is under way. */
  get isWorking(): boolean {
    return this.#working > 0
  }

  /** When a statement was last sent for a lock or for the work, by the monotonic clock; for returning idle sessions to the pool. */
  get lastUsed(): number {
    return this.#lastUsed
  }

  /** Counts as a use of the session. */
  touch(): void {
    this.#lastUsed = monotonicNow()
  }

  /** What the protocol last said of a transaction on this connection. */
  get transactionStatus(): TransactionStatus | undefined {
    return this.#transactionStatus
  }

  noteTransactionStatus(status: TransactionStatus): void {
    this.#transactionStatus = status
  }

  /** Whether the server certainly keeps this session's locks: it is alive, and not in doubt. Only compares clocks. */
  get isCertain(): boolean {
    return !this.#lostError && !this.#lease.isPast()
  }

  /** Loses the session if its lease is over, and asks the server in doubt. Returns whether the session is alive. */
  checkLease(): boolean {
    if (this.#lostError) return false
    switch (this.#lease.state) {
      case 'certain':
        return true
      case 'doubtful':
        if (this.#lease.beginInquiry()) this.#inquire()
        return !this.#lostError
      case 'over':
        this.lose(
          new Error(`the lease ran out: no answer from the database for ${Math.round(this.#lease.silence())} ms`),
        )
        return false
    }
  }

  /** Checks the lease. Undefined unless the session is in doubt; resolves when it is certain again, or lost. */
  whenCertain(): Promise<void> | undefined {
    return this.checkLease() && !this.isCertain ? this.#lease.inquiry : undefined
  }

  /**
   * Calls `listener` once when the session dies: after its owner, in the order of registration, before anything that waits for its
   * statements gets an answer. A listener that is registered twice is called once.
   */
  whenLost(listener: LostListener): void {
    ;(this.#lostListeners ??= new Set()).add(listener)
  }

  /** Sends a statement of one column; the callback is called exactly once, also when the session dies meanwhile. */
  send(sql: string, callback: RawCallback): void {
    const answered = this.#sending(callback)
    if (answered) this.#wire.query(sql, answered)
  }

  /** The same for `single(take(literal))` or `single(give(literal))`, which come again and again. */
  sendLone(request: 'take' | 'give', literal: string, callback: RawCallback): void {
    const answered = this.#sending(callback)
    if (!answered || this.#prepared.send(request, literal, answered)) return
    this.#wire.query(this.dialect.single(this.dialect[request](literal)), answered)
  }

  /** The same for the batch of a `give` and a `take`; `sql`: the statement where it is not prepared. */
  sendPair(given: string, taken: string, sql: string, callback: RawCallback): void {
    const answered = this.#sending(callback)
    if (!answered || this.#prepared.sendPair(given, taken, answered)) return
    this.#wire.query(sql, answered)
  }

  /** The rows of a statement, each as an array. */
  ask(sql: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const answered = this.#sending((error, rows) => (error ? reject(error) : resolve(rows)))
      if (answered) this.#wire.query({ sql, rowsAsArray: true }, answered)
    })
  }

  /** Leaves a note for other processes. It is removed before the connection goes back: its next user's locks are not these. */
  leaveNote(text: string): void {
    const statement = this.dialect.leaveNote?.(text)
    if (statement === undefined) return
    this.#hasNote = text !== ''
    // The lock does not depend on the note, so a failure changes nothing.
    this.#sendUncounted(statement)
  }

  /**
   * The work sends a statement of its own. Until `workEnds` this connection cannot show that it lives, however healthy it is, so
   * another one has to (`seenAtWork`). The deadline stands: a statement that is under way is no sign of life in itself. Returns
   * what `workEnds` needs.
   */
  workBegins(): Moment {
    this.checkLease() // a process that was stopped for longer than the lease detects it here
    this.#working++
    const sentAt = thisMoment()
    this.#lastUsed = sentAt.monotonic
    return sentAt
  }

  /**
   * The answer to the work's statement is here; `settle` passes it on. After a long time that happens only when the connection has
   * proved that it is still there: after a pause of the process the answer may lie on a connection with a lease that has run out.
   */
  workEnds(sentAt: Moment, error: unknown, settle: () => void): void {
    const isAnswer = !error || this.dialect.isAnswer(error)
    if (!isAnswer && this.dialect.isAbandoned(error)) this.lose(error)
    if (this.#lostError || !isAnswer || timeSince(sentAt) <= this.#lease.longestTrusted) {
      this.#working--
      if (isAnswer) this.#lease.renew(sentAt.monotonic, sentAt.wall)
      settle()
      return
    }
    const askedAt = thisMoment()
    this.#wire.query(this.dialect.keepAlive, (failure) => {
      this.#working--
      if (!failure || this.dialect.isAnswer(failure)) this.#lease.renew(askedAt.monotonic, askedAt.wall)
      else this.lose(failure)
      settle()
    })
  }

  /**
   * Another connection has asked the server at `sentAt`, and the server said that this one is running a statement. The server ends only
   * idle sessions, so its lease has not begun before that moment: the same sign of life as an answer on this connection.
   */
  seenAtWork(sentAt: Moment): void {
    if (this.checkLease()) this.#lease.renew(sentAt.monotonic, sentAt.wall)
  }

  /** Gives up on the connection: every lock on it is lost. */
  lose(cause: unknown): void {
    if (this.#lostError || this.#isReleased) return
    const error = new NamedLockLostError(
      `The database connection ${this.connectionId} that held the lock is gone: ${reasonOf(cause)}.`,
      { cause },
    )
    this.#lostError = error
    this.#lease.endInquiry()
    // The listeners first: once the socket is destroyed, the server releases the locks.
    this.#owner.sessionLost(this, error)
    if (this.#lostListeners) for (const listener of this.#lostListeners) listener(this, error)
    this.dialect.destroy(this.connection)
    void this.#release()
    for (const callback of [...this.#pending]) if (this.#pending.delete(callback)) callback(error)
  }

  /**
   * Returns the connection to the pool, with its settings restored. The session must hold no locks. In any doubt the connection is
   * destroyed instead: a pooled connection keeps its locks, and its next borrower would own them unknowingly.
   *
   * @param isRestored Nothing is left to restore.
   */
  async giveBack(isRestored = this.facts.restore === ''): Promise<void> {
    if (this.#lostError || this.#isReleased) return
    this.#lostListeners = undefined
    this.#prepared.drop()
    try {
      if (this.#hasNote) await this.ask(this.dialect.leaveNote?.('') ?? '')
      if (!isRestored) await this.ask(this.facts.restore)
      this.connection.removeListener('end', this.#ended)
      this.connection.removeListener('error', this.#failed)
      this.#letPoolEnd()
      await this.#release()
    } catch (error) {
      this.lose(error)
    }
  }

  /** The callback for the driver with the answer to a statement that is sent now. Undefined when the session is dead; then `callback` was called. */
  #sending(callback: RawCallback): RawCallback | undefined {
    const sentAt = monotonicNow()
    const sentAtWall = wallNow()
    if (this.#lostError || (this.#lease.isPast(sentAt, sentAtWall) && !this.checkLease())) {
      callback(this.#lostError as unknown as Error)
      return undefined
    }
    this.#lastUsed = sentAt
    this.#pending.add(callback)
    return (error, rows) => {
      if (!this.#pending.delete(callback)) return
      if (!error || this.dialect.isAnswer(error)) {
        // An answer after the deadline does not bring back what was given up at the deadline.
        if (this.checkLease()) this.#lease.renew(sentAt, sentAtWall)
        if (error) this.#prepared.drop() // it may be the reason
      } else {
        this.lose(error)
        callback(this.#lostError ?? error)
        return
      }
      callback(error ? this.#failureOf(error) : (this.#lostError ?? null), rows)
    }
  }

  /** A server may begin to refuse locks while the session is open. */
  #failureOf(error: Error): Error {
    const finding = this.dialect.refusalOf?.(error)
    return finding ? unfit(finding) : error
  }

  async #release(): Promise<void> {
    if (this.#isReleased) return
    this.#isReleased = true
    clearTimeout(this.#timer)
    try {
      await this.#runner.release()
    } catch {
      // Nothing depends on it: the connection was destroyed, or the pool is gone.
    }
  }

  #inquire(): void {
    // A statement of the work occupies the connection: only other connections can ask, and `workEnds` judges its answer.
    if (this.#working > 0) this.#owner.sessionSilent(this)
    else this.#ping()
  }

  #ping(): void {
    outside(() => this.#sendUncounted(this.dialect.keepAlive))
  }

  /** Housekeeping: an idle session stays idle by it. */
  #sendUncounted(sql: string): void {
    const used = this.#lastUsed
    this.send(sql, () => {})
    this.#lastUsed = used
  }

  /** One timer for both: the next keepalive, and the deadline when one is under way. */
  #setTimer(): void {
    const delay = this.#lease.nextCheckIn(this.isBusy, this.isWorking)
    this.#timer = outside(() => setTimeout(() => this.#tick(), delay))
    this.#timer.unref()
  }

  #tick(): void {
    if (!this.checkLease()) return
    this.#lease.noteSuspensions()
    if (this.#lease.isSignOfLifeDue) {
      if (this.isWorking) this.#owner.sessionSilent(this)
      else if (!this.isBusy) this.#ping()
    }
    this.#setTimer()
  }
}

/** For locks that do not end by time. */
const ENDLESS: LeaseTimes = { lease: Infinity, keepAlive: Infinity }

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message || cause.name : String(cause)
}
