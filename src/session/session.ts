import type { Dialect, ServerFacts, SessionUse, TransactionStatus } from '../dialect/dialect.js'
import { NamedLockLostError } from '../contract/errors.js'
import type { RawCallback, RawConnection, RunnerLike } from '../typeorm/raw-connection.js'
import { outside } from '../util/outside.js'
import { Prepared } from './prepared.js'
import { queryWithin } from './query-within.js'
import { clearTimeout, monotonicNow, setImmediate, setTimeout, suspendedSoFar, wallNow } from '../util/clock.js'

/** setTimeout's longest delay; anything longer fires at once. */
const LONGEST_TIMER = 2_147_483_647

/**
 * One pinned connection that belongs to the library, with its heartbeat and its lease.
 *
 * The lease: the server keeps the session's locks for so long after the last sign of life. The deadline here is counted
 * from when the last *answered* statement was *sent*, so it is never later than the server's, however slow the answer was;
 * past it the session is lost, whether or not a timer could run.
 *
 * Three clocks are compared, because each is wrong at times. The monotonic clock may stand still while the machine is suspended.
 * The wall clock goes on then, but it is also set (by NTP, by an operator). So when the wall clock alone says that the lease is
 * over, the clock that counts from the start of the system decides: it confirms a suspension, and the session is lost. Where it
 * does not (the date was set, or all clocks of a virtual machine stood still), the session is in *doubt*: `isCertain` is false at
 * once, and the server is asked on this very connection. Its answer proves that it has kept the session and with it the locks; nothing
 * is lost then. Without an answer the session is lost when the connection fails, or at its deadline.
 *
 * A lost session never comes back: its socket is destroyed,
 * its runner released (once), and whoever owns it is told.
 */
export class Session {
  readonly facts: ServerFacts
  /** Told once when the session dies, before anything that waits for its statements. */
  onLost: ((error: NamedLockLostError) => void) | undefined
  /** What the protocol last said of a transaction on this connection. */
  transactionStatus: TransactionStatus | undefined
  /** When something last happened here, for returning idle sessions. */
  lastUsed = monotonicNow()

  readonly #runner: RunnerLike
  readonly #connection: RawConnection
  /** The connection as statements are sent on it. */
  readonly #wire: RawConnection
  readonly #dialect: Dialect
  readonly #lease: number
  readonly #keepAlive: number
  readonly #prepared: Prepared
  readonly #pending = new Set<RawCallback>()
  readonly #ended = () => this.lose(new Error('the connection was closed'))
  readonly #failed = (error?: unknown) => this.lose(error ?? new Error('the connection failed'))
  readonly #letPoolEnd: () => void
  /** Called again and again while a statement of the work gets no answer: only another connection can show then that the server still has this one. */
  onSilence: (() => void) | undefined
  /** Statements of the work that are in flight on this connection. */
  #working = 0
  #lostError: NamedLockLostError | undefined
  #released = false
  #hasNote = false
  #aliveAt: number
  #aliveAtWall: number
  /** What `suspendedSoFar` was at a time when the session was certain; written when it opens and by each tick. */
  #suspendedBefore = suspendedSoFar()
  /** The question of a session in doubt; undefined while there is no doubt. */
  #inquiry: { readonly over: Promise<void>; readonly end: () => void } | undefined
  #timer: NodeJS.Timeout | undefined

  private constructor(
    runner: RunnerLike,
    connection: RawConnection,
    dialect: Dialect,
    lease: Lease,
    facts: ServerFacts,
    openedAt: SentAt,
  ) {
    this.#runner = runner
    this.#connection = connection
    this.#wire = dialect.wire(connection)
    this.#dialect = dialect
    this.#prepared = new Prepared(this.#wire, dialect.prepared)
    this.#lease = dialect.keepsLocksForever ? Infinity : lease.lease
    this.#keepAlive = dialect.keepsLocksForever ? Infinity : lease.keepAlive
    this.facts = facts
    this.transactionStatus = facts.status
    this.#aliveAt = openedAt.monotonic
    this.#aliveAtWall = openedAt.wall
    this.#letPoolEnd = dialect.pool.onEnd(connection, runner, () =>
      this.lose(new Error('the DataSource was destroyed')),
    )
    connection.on('end', this.#ended)
    connection.on('error', this.#failed)
    this.#arm()
  }

  /**
   * Prepares the connection of a runner that is already connected. On failure the connection is the caller's to destroy.
   *
   * @param patience How long each answer may take, in milliseconds.
   */
  static async prepare(
    runner: RunnerLike,
    connection: RawConnection,
    dialect: Dialect,
    lease: Lease,
    patience: number,
    use: SessionUse,
  ): Promise<Session> {
    const ignore = (): void => {}
    connection.on('error', ignore) // without a listener of ours a second 'error' would end the process
    try {
      const openedAt: SentAt = { monotonic: 0, wall: 0 }
      const ask = (sql: string): Promise<unknown> => {
        openedAt.monotonic = monotonicNow()
        openedAt.wall = wallNow()
        return queryWithin(dialect.wire(connection), sql, patience)
      }
      const facts = await dialect.open(ask, lease.lease, use, connection)
      return new Session(runner, connection, dialect, lease, facts, openedAt)
    } finally {
      // The session has a listener of its own by now, or the connection is about to be destroyed and may emit once more.
      setImmediate(() => connection.removeListener('error', ignore))
    }
  }

  get connectionId(): string {
    return this.facts.connectionId
  }

  /** Set once the session is dead. Does not look at the clock: see `isAlive`. */
  get lostError(): NamedLockLostError | undefined {
    return this.#lostError
  }

  /** The QueryRunner, for those whose session it is alone. */
  get runner(): RunnerLike {
    return this.#runner
  }

  get dialect(): Dialect {
    return this.#dialect
  }

  /** The driver's connection, for the work under the lock. */
  get connection(): RawConnection {
    return this.#connection
  }

  get isBusy(): boolean {
    return this.#pending.size > 0
  }

  /** Whether a statement of the work is in flight. */
  get isWorking(): boolean {
    return this.#working > 0
  }

  /**
   * Whether the session is still in use, by the clocks of this machine; past its deadline it is lost by this. True in doubt:
   * whatever the server answers then is as good as ever.
   */
  get isAlive(): boolean {
    if (this.#lostError) return false
    return !this.#isPast(monotonicNow()) || this.#isLeftInDoubt()
  }

  /** Whether the server certainly keeps this session's locks: alive, and not in doubt. */
  get isCertain(): boolean {
    if (this.#lostError) return false
    if (!this.#isPast(monotonicNow())) return true
    this.#isLeftInDoubt()
    return false
  }

  /** Undefined unless the session is in doubt; resolves when it is certain again, or lost. */
  get whenCertain(): Promise<void> | undefined {
    return this.isCertain ? undefined : this.#inquiry?.over
  }

  /** One of the clocks says that the lease is over: the session is lost, or the server is asked. */
  #isLeftInDoubt(): boolean {
    const silence = monotonicNow() - this.#aliveAt
    const jump = wallNow() - this.#aliveAtWall - silence
    const asleep = Math.max(0, Math.min(jump, suspendedSoFar() - this.#suspendedBefore))
    if (silence + asleep < this.#lease) {
      if (!this.#inquiry) this.#inquire()
      return !this.#lostError
    }
    this.lose(new Error(`the lease ran out: no answer from the database for ${Math.round(silence + asleep)} ms`))
    return false
  }

  #inquire(): void {
    let end = (): void => {}
    const over = new Promise<void>((resolve) => (end = resolve))
    this.#inquiry = { over, end }
    // A statement of the work occupies the connection: only others can be asked, and its answer is looked at by `workEnds`.
    if (this.#working > 0) this.onSilence?.()
    else this.#ping()
  }

  #ping(): void {
    const used = this.lastUsed
    outside(() => this.send(this.#dialect.keepAlive, () => {}))
    this.lastUsed = used // the heartbeat is no use
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
    this.#wire.query(this.#dialect.single(this.#dialect[request](literal)), answered)
  }

  /** What is to be called with the answer to a statement that is sent now; undefined when the session is dead, and that was told. */
  #sending(callback: RawCallback): RawCallback | undefined {
    const sentAt = monotonicNow()
    const sentAtWall = wallNow()
    if (this.#lostError || (this.#isPast(sentAt, sentAtWall) && !this.isAlive)) {
      callback(this.#lostError as unknown as Error)
      return undefined
    }
    this.lastUsed = sentAt
    this.#pending.add(callback)
    return (error, rows) => {
      if (!this.#pending.delete(callback)) return
      if (!error || this.#dialect.isAnswer(error)) {
        // An answer after the deadline does not bring back what was given up at the deadline.
        if (this.isAlive) this.#isAliveAt(sentAt, sentAtWall)
        if (error) this.#prepared.drop() // it may be the reason
      } else {
        this.lose(error)
        callback(this.#lostError ?? error)
        return
      }
      callback(error ?? this.#lostError ?? null, rows)
    }
  }

  /**
   * The work sends a statement of its own. Until `workEnds` this connection cannot show that it lives, however healthy it is, so
   * another one has to (`seenAtWork`). The deadline goes on: a statement that is under way is no sign of life by itself. Returns
   * what `workEnds` has to be given.
   */
  workBegins(): SentAt {
    void this.isAlive // whoever was stopped for longer than the lease learns it here
    this.#working++
    this.lastUsed = monotonicNow()
    return { monotonic: this.lastUsed, wall: wallNow() }
  }

  /**
   * The answer is here; `tell` hands it on. After a long time it is handed on only when the connection has proved that it
   * is still there: a stopped process finds the answer of a connection whose lease has run out meanwhile.
   */
  workEnds(sentAt: SentAt, error: unknown, tell: () => void): void {
    const isAnswer = !error || this.#dialect.isAnswer(error)
    if (!isAnswer && this.#dialect.isAbandoned(error)) this.lose(error)
    const took = Math.max(monotonicNow() - sentAt.monotonic, wallNow() - sentAt.wall)
    if (this.#lostError || !isAnswer || took <= (this.#lease - this.#keepAlive) / 2) {
      this.#working--
      if (isAnswer) this.#isAliveAt(sentAt.monotonic, sentAt.wall)
      tell()
      return
    }
    const askedAt = { monotonic: monotonicNow(), wall: wallNow() }
    this.#wire.query(this.#dialect.keepAlive, (failure) => {
      this.#working--
      if (!failure || this.#dialect.isAnswer(failure)) this.#isAliveAt(askedAt.monotonic, askedAt.wall)
      else this.lose(failure)
      tell()
    })
  }

  /**
   * Another connection has asked the server at `sentAt`, and was told that this one is running a statement. The server ends only
   * idle sessions, so its lease has not begun before that moment: the same sign of life as an answer on this connection.
   */
  seenAtWork(sentAt: SentAt): void {
    if (this.isAlive) this.#isAliveAt(sentAt.monotonic, sentAt.wall)
  }

  /** Leaves a note for others to read. It is gone before the connection goes back: its next user's locks are not these. */
  leaveNote(text: string): void {
    const statement = this.#dialect.leaveNote?.(text)
    if (statement === undefined) return
    const used = this.lastUsed
    this.#hasNote = text !== ''
    // A note that could not be left is worth nothing: the lock does not depend on it.
    this.send(statement, () => {})
    this.lastUsed = used
  }

  /** The rows of a statement, each as an array. */
  ask(sql: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const answered = this.#sending((error, rows) => (error ? reject(error) : resolve(rows)))
      if (answered) this.#wire.query({ sql, rowsAsArray: true }, answered)
    })
  }

  /** Gives up on the connection: everything it held is lost. */
  lose(cause: unknown): void {
    if (this.#lostError || this.#released) return
    const error = new NamedLockLostError(
      `The database connection ${this.connectionId} that held the lock is gone: ${reasonOf(cause)}.`,
      { cause },
    )
    this.#lostError = error
    this.#endInquiry()
    // Before the server can hear of it and let go.
    this.onLost?.(error)
    this.#dialect.destroy(this.#connection)
    void this.#release()
    for (const callback of [...this.#pending]) if (this.#pending.delete(callback)) callback(error)
  }

  /**
   * Back to the pool, with its settings restored. The session must hold no locks. In any doubt the connection is destroyed
   * instead: a released connection keeps its locks, and the next borrower would own them without knowing.
   *
   * @param isRestored Nothing is left to restore.
   */
  async giveBack(isRestored = this.facts.restore === ''): Promise<void> {
    if (this.#lostError || this.#released) return
    this.onLost = undefined
    this.#prepared.drop()
    try {
      if (this.#hasNote) await this.ask(this.#dialect.leaveNote?.('') ?? '')
      if (!isRestored) await this.ask(this.facts.restore)
      this.#connection.removeListener('end', this.#ended)
      this.#connection.removeListener('error', this.#failed)
      this.#letPoolEnd()
      await this.#release()
    } catch (error) {
      this.lose(error)
    }
  }

  async #release(): Promise<void> {
    if (this.#released) return
    this.#released = true
    clearTimeout(this.#timer)
    try {
      await this.#runner.release()
    } catch {
      // Nothing depends on it: the connection was destroyed, or the pool is gone.
    }
  }

  #isAliveAt(monotonic: number, wall: number): void {
    if (monotonic <= this.#aliveAt) return
    this.#aliveAt = monotonic
    this.#aliveAtWall = wall
    if (this.#inquiry && !this.#isPast(monotonicNow())) this.#endInquiry()
  }

  #endInquiry(): void {
    this.#inquiry?.end()
    this.#inquiry = undefined
  }

  /** A clock says that the lease is over. The wall clock goes on while the machine is suspended; when it is set back it decides nothing. */
  #isPast(now: number, wall = wallNow()): boolean {
    return now - this.#aliveAt >= this.#lease || wall - this.#aliveAtWall >= this.#lease
  }

  /** One timer for both: the next keepalive, and the deadline when one is under way. */
  #arm(): void {
    const now = monotonicNow()
    const keepAliveAt = this.#aliveAt + this.#keepAlive
    const isLate = keepAliveAt <= now
    const at = this.isBusy || isLate ? this.#aliveAt + this.#lease : keepAliveAt
    // While a statement is under way its answer may come any time, and the next keepalive counts from there. What others are
    // asked about it may get no answer from the first, and then has to get one from the second in time.
    const isAsking = isLate && this.#working > 0
    const most = isAsking ? this.#keepAlive / 4 : this.isBusy ? this.#keepAlive : LONGEST_TIMER
    const delay = Math.min(at - now, most)
    this.#timer = outside(() => setTimeout(() => this.#tick(), Math.max(1, Math.ceil(delay))))
    this.#timer.unref()
  }

  #tick(): void {
    if (!this.isAlive) return
    if (!this.#inquiry) this.#suspendedBefore = suspendedSoFar()
    const isSilent = this.#inquiry !== undefined || monotonicNow() >= this.#aliveAt + this.#keepAlive
    if (this.#working > 0) {
      if (isSilent) this.onSilence?.()
    } else if (!this.isBusy && isSilent) this.#ping()
    this.#arm()
  }
}

/** The times that keep a session's locks, in milliseconds. */
export interface Lease {
  readonly lease: number
  readonly keepAlive: number
}

/** By both clocks: the wall clock goes on while the machine sleeps. */
export interface SentAt {
  monotonic: number
  wall: number
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message || cause.name : String(cause)
}
