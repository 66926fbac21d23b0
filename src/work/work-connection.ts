import { errorMonitor, type EventEmitter } from 'node:events'
import { NamedLockConfigurationError, NamedLockError } from '../contract/errors.js'
import { because } from '../contract/troubleshooting.js'
import { currentScope, type LockScope } from '../scope/lock-scope.js'
import type { Rollback } from '../dialect/dialect.js'
import type { RawConnection } from '../typeorm/raw-connection.js'
import type { Session } from '../session/session.js'
import { queueMicrotask } from '../util/clock.js'

/** The driver's own functions, with all of their overloads. */
type AnyFunction = (...args: any[]) => any

type Driver = Record<PropertyKey, unknown>

/** The owner of the transaction: the library, or the application that runs it itself. */
export type Owner = 'ours' | 'application'

/**
 * A session's connection for the work under its lock, for one call: the driver's own connection, with four differences. The session is
 * notified of every statement, because the server has to be asked on another connection while one is in flight. The connection cannot be
 * released from here. Once the call is over, nothing is sent any more: the connection may be another caller's by then.
 *
 * And the end of a transaction is final. A statement that reaches the connection after it would be autocommitted, while the caller gets
 * the answer that everything was rolled back, or that everything was committed together. So when a transaction has ended, by
 * its COMMIT or ROLLBACK, with an error (a deadlock, a lock timeout with innodb_rollback_on_timeout), or by a statement that commits
 * implicitly, no further statement of its work is sent. The protocol reports whether it has ended, not a list of errors or
 * statements: the server status in every OK packet of MySQL and MariaDB, and the transaction status of PostgreSQL. An error of
 * MySQL's carries no status, so an empty statement follows it before the error is handed on. Statements wait here for the
 * answer to the one before, as they would in the driver: what is in the driver's queue could not be stopped any more.
 */
export class WorkConnection implements ProxyHandler<Driver> {
  /** The proxy of the driver's connection. */
  readonly connection: RawConnection
  readonly #session: Session
  readonly #raw: Driver
  readonly #runner: RunnerInTransaction | undefined
  readonly #owner: Owner
  readonly #earlier: WeakSet<object> | undefined
  readonly #query = (...args: any[]): unknown => this.#send(this.#raw.query as AnyFunction, args)
  #failures: WeakSet<object> | undefined
  #state: 'open' | 'closed' | 'detached' = 'open'
  #isCommitInDoubt = false
  /** The last error that was not a consequence of an earlier one, until a later statement succeeds in the transaction. */
  #lastError: Error | undefined
  /** The COMMIT was answered by a ROLLBACK. */
  #isRolledBack = false
  #isCommitted = false
  #hasCommitFailed = false
  /** Why the transaction has ended before its COMMIT or ROLLBACK. */
  #endedBy: Error | undefined
  /** The COMMIT or ROLLBACK that has ended the transaction, until the next one begins. */
  #end: string | undefined
  /** A COMMIT or ROLLBACK is under way. */
  #isEnding = false
  /** How many waits hold the work back. Written by `hold`. */
  #holds = 0
  /** Statements that wait for the answer to the one before, or while the work is held. */
  readonly #waiting: (() => void)[] = []
  #inFlight = 0
  #isUsed = false

  /** @param earlier The QueryRunners of earlier tries of the work: their branches reach this one by a variable, or by the handle. */
  constructor(session: Session, runner: RunnerInTransaction, owner: Owner, earlier?: WeakSet<object>) {
    this.#session = session
    this.#raw = session.connection as unknown as Driver
    this.#runner = runner
    this.#owner = owner
    this.#earlier = earlier
    this.connection = new Proxy(this.#raw, this) as unknown as RawConnection
  }

  /** A property of the proxy. */
  get(raw: Driver, property: PropertyKey): unknown {
    const value = raw[property]
    if (typeof value !== 'function' || property === 'constructor') return value
    if (this.#state === 'detached') return (value as AnyFunction).bind(raw)
    switch (property) {
      case 'query':
        return this.#query
      case 'execute':
        return (...args: any[]) => this.#send(value as AnyFunction, args)
      case 'promise':
        // The driver's promise wrapper must send its statements through here as well.
        return (value as AnyFunction).bind(this.connection)
      case 'destroy':
      case 'close':
        return () => this.#session.lose(new Error('the work destroyed it'))
      case 'release':
      case 'end':
      case 'changeUser':
      case 'reset':
        return () => this.#refuse(property)
      default:
        return (value as AnyFunction).bind(raw)
    }
  }

  /** True when a COMMIT was sent and no answer has come with the outcome of the transaction. */
  get isCommitInDoubt(): boolean {
    return this.#isCommitInDoubt
  }

  /** The COMMIT has rolled back, as PostgreSQL does it without an error when a statement before it failed: that statement's error. */
  get commitRefusedBy(): Error | undefined {
    return this.#isRolledBack ? (this.#lastError ?? new Error('a statement in it had failed')) : undefined
  }

  /** Why the transaction has ended, if neither its COMMIT nor its ROLLBACK has ended it. */
  get endedBy(): Error | undefined {
    if (this.#endedBy || this.#end === undefined) return this.#endedBy
    // The QueryRunner notes the end of a transaction that it has ended itself, so the work has sent this one as text.
    const isText = this.#owner === 'ours' && this.#runner?.isTransactionActive
    return isText ? endedByStatement(this.#end) : undefined
  }

  /**
   * The rollback by which the transaction fails, if its work fails now. It is the last that the work has seen of the database, whatever the
   * work has made of the error: savepoints that were rolled back after it do not count, but a statement that has succeeded does.
   */
  get rollback(): Rollback | undefined {
    const error = this.#endedBy ?? this.#lastError
    const hasEnded = this.#endedBy !== undefined || this.#hasCommitFailed
    const reason = error && this.#session.dialect.rollbackReason(error, hasEnded)
    return reason && { reason, error }
  }

  /** The COMMIT was carried out. */
  get isCommitted(): boolean {
    return this.#isCommitted && !this.#isRolledBack
  }

  /** Whether the work has left a transaction open; undefined if that is unknown. */
  get isInTransaction(): boolean | undefined {
    if (!this.#isUsed) return false
    if (this.#inFlight > 0) return this.#runner?.isTransactionActive ? true : undefined
    const { dialect, connection, transactionStatus } = this.#session
    const status = dialect.statusAfter(undefined, connection) ?? transactionStatus
    if (status === undefined) return this.#runner?.isTransactionActive ? true : undefined
    return status === 'implicit' ? undefined : status === 'open'
  }

  /** Whether that error says that the connection failed under a statement of the work; TypeORM's wrapping does not hide it. */
  isFailure(error: unknown): boolean {
    if (typeof error !== 'object' || error === null) return false
    return this.#failures?.has(error) || this.isFailure((error as { driverError?: unknown }).driverError)
  }

  /** Rolls the transaction back where TypeORM has not: a subscriber threw before its ROLLBACK, or the work has left a savepoint. */
  async rollBack(): Promise<void> {
    const { dialect } = this.#session
    this.#heard(await this.#session.ask(dialect.rollBack), undefined)
  }

  /** Keeps statements here, and sends them when it is over: a statement of the library's may fail meanwhile, and the transaction with it. */
  hold(isHeld: boolean): void {
    this.#holds += isHeld ? 1 : -1
    if (this.#holds === 0) this.#sendNext()
  }

  /** The call is over. */
  close(): void {
    this.#state = 'closed'
    for (const refused of this.#waiting.splice(0)) refused()
  }

  /** The session is over, and the connection is the application's: from now on this is the driver's connection and nothing more. */
  detach(): void {
    this.#state = 'detached'
    this.#sendNext()
  }

  #send(method: AnyFunction, args: any[]): unknown {
    const { answersByPromise } = this.#session.dialect
    const hasCallback = typeof args.at(-1) === 'function'
    // A call that returns a command or a stream has to be sent at once; any other can wait for the answer to the one before.
    const canWait = hasCallback || (answersByPromise && !isSubmittable(args[0]))
    if (!canWait || this.#state === 'detached') return this.#sendNow(method, args)
    const scope = currentScope()
    if ((this.#inFlight === 0 && this.#waiting.length === 0 && this.#holds === 0) || this.#isEnding)
      return this.#sendNow(method, args, scope)
    if (!hasCallback) return this.#sendLater(method, args, scope)
    this.#waiting.push(() => this.#sendNow(method, args, scope))
    return undefined
  }

  /** A call that is answered by a promise. pg 9 refuses it while another statement is under way, and pg 8 warns. */
  #sendLater(method: AnyFunction, args: any[], scope: LockScope | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        try {
          resolve(this.#sendNow(method, args, scope))
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  #sendNext(): void {
    while ((this.#inFlight === 0 && this.#holds === 0) || this.#state === 'detached') {
      const next = this.#waiting.shift()
      if (!next) return
      next()
    }
  }

  #sendNow(method: AnyFunction, args: any[], scope = currentScope()): unknown {
    const callback: unknown = args.at(-1)
    const text = textOf(args[0])
    if (this.#state === 'detached') return method.apply(this.#raw, args)
    if (text === 'START TRANSACTION') this.#end = undefined
    const refusal = this.#refusal(text, scope)
    if (refusal) return refuseStatement(callback, refusal)
    const isCommit = text === 'COMMIT'
    const isEnd = isCommit || text === 'ROLLBACK'
    if (isEnd) this.#isEnding = true
    if (text === 'ROLLBACK') this.#endedBy = undefined
    if (isCommit) this.#isCommitInDoubt = true
    this.#isUsed = true
    this.#inFlight++
    const sentAt = this.#session.workBegins()
    const over = (pass: () => void): void => {
      this.#inFlight--
      if (isEnd) this.#isEnding = false
      pass()
      this.#sendNext()
    }
    const answered = (error: Error | null | undefined, pass: () => void, result?: unknown): void => {
      const { dialect } = this.#session
      const isAnswer = !error || dialect.isAnswer(error)
      if (error && !isAnswer) (this.#failures ??= new WeakSet()).add(error)
      else if (isCommit) this.#isCommitInDoubt = error ? dialect.leavesCommitOpen(error) : false
      if (error && !dialect.isAftermath(error)) {
        this.#lastError = error
        if (isCommit) this.#hasCommitFailed = true
      } else if (isCommit) {
        this.#isRolledBack = dialect.isRolledBack(result)
        this.#isCommitted = true
      } else if (this.#lastError && !error && !isRollback(text)) this.#lastError = undefined
      const done = (): void => this.#session.workEnds(sentAt, error, () => over(pass))
      if (error && isAnswer && !isEnd) this.#lookAfterError(error, done)
      else {
        if (isEnd && !error) this.#end = isCommit ? 'COMMIT' : 'ROLLBACK'
        if (!error) this.#heard(result, isEnd ? undefined : () => endedByStatement(text))
        done()
      }
    }
    if (typeof callback === 'function') {
      args[args.length - 1] = (error: Error | null, ...results: unknown[]) =>
        answered(error, () => void (callback as AnyFunction)(error, ...results), results[0])
    }
    try {
      const command: unknown = method.apply(this.#raw, args)
      if (typeof callback === 'function') return command
      if (isPromise(command)) return settled(command, answered)
      // A stream, or events: they end with 'end', also after an error; without it, the connection has ended. The listener only notes an
      // error: the work decides whether it listens for errors itself.
      let isOver = false
      let failure: Error | undefined
      const end = (): void => {
        if (!isOver) answered(failure, () => {})
        isOver = true
      }
      const events = command as EventEmitter
      events.once(errorMonitor, (error: Error) => (failure = error))
      events.once('end', end).once('close', end)
      return command
    } catch (error) {
      answered(error as Error, () => {}) // the driver refused it, and nothing was sent
      throw error
    }
  }

  /** Why that statement must not be sent. */
  #refusal(text: unknown, scope: LockScope | undefined): Error | undefined {
    if (this.#state === 'closed' || this.#isEnding) return usedTooLate()
    return this.#refusalIn(scope) ?? (text === 'ROLLBACK' ? undefined : this.endedBy)
  }

  /**
   * Refuses branches of the work that outlive it, as of a Promise.all of which one has thrown, and code that is `outside` of the
   * transaction by where it runs, but not by the EntityManager that it uses: other libraries keep that in a context of their own.
   */
  #refusalIn(scope: LockScope | undefined): Error | undefined {
    for (let one = scope; one; one = one.parent) {
      const manager = one.transaction?.manager as { queryRunner?: unknown } | undefined
      const runner = manager?.queryRunner
      if (runner !== this.#runner && !this.#earlier?.has(runner as object)) continue
      if (!one.isOpen) return usedTooLate()
      if (isOutside(scope, one)) return usedOutside()
      if (one.isAroundWork) return undefined
    }
    return undefined
  }

  /** An error does not carry the status of the transaction around the statement: the answer to an empty statement does. */
  #lookAfterError(error: Error, done: () => void): void {
    const { dialect } = this.#session
    if (!dialect.askStatus || this.#session.transactionStatus !== 'open') {
      done()
      return
    }
    this.#session.send(dialect.askStatus, (failure, result) => {
      if (!failure) this.#heard(result, () => error, true)
      done()
    })
  }

  /** @param reason Why the transaction has ended, if it has; undefined where its end was requested. */
  #heard(result: unknown, reason: (() => Error) | undefined, isByError = false): void {
    const session = this.#session
    const heard = session.dialect.statusAfter(result, session.connection)
    if (heard === undefined) return
    // In doubt there is something to roll back.
    const status = heard === 'none' && session.facts.status === 'implicit' ? 'implicit' : heard
    const hasEnded = session.transactionStatus === 'open' && status !== 'open'
    session.noteTransactionStatus(status)
    // A statement that commits implicitly, in a transaction that the application runs itself, is the application's business.
    if (!hasEnded || !reason || !this.#runner?.isTransactionActive || (this.#owner !== 'ours' && !isByError)) return
    this.#endedBy = reason()
  }

  #refuse(method: string): never {
    throw new NamedLockConfigurationError(
      `${method}() of the connection was called by work under a named lock: the lock is held on this connection, which is returned when the lock is released.`,
    )
  }
}

/** mysql2's commands have a `then`, too, which only throws: a hint for users of the wrong package. */
function isPromise(value: unknown): value is Promise<unknown> {
  const { then, once } = (value ?? {}) as { then?: unknown; once?: unknown }
  return typeof then === 'function' && typeof once !== 'function'
}

/** A query of pg that the caller reads itself, such as a stream or a cursor. */
function isSubmittable(statement: unknown): boolean {
  return typeof (statement as { submit?: unknown } | null | undefined)?.submit === 'function'
}

/** The same outcome, passed on when the session allows it. */
function settled(
  answer: Promise<unknown>,
  answered: (error: Error | undefined, pass: () => void, result?: unknown) => void,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    answer.then(
      (result) => answered(undefined, () => resolve(result), result),
      (error: Error) => answered(error, () => reject(error)),
    )
  })
}

function textOf(statement: unknown): unknown {
  return typeof statement === 'string'
    ? statement
    : ((statement as { sql?: unknown } | undefined)?.sql ?? (statement as { text?: unknown } | undefined)?.text)
}

/** A ROLLBACK, also one to a savepoint. */
function isRollback(text: unknown): boolean {
  return typeof text === 'string' && /^\s*rollback\b/i.test(text)
}

/** A QueryRunner, as far as it is used here. */
export interface RunnerInTransaction {
  readonly isTransactionActive: boolean
}

function endedByStatement(text: unknown): Error {
  const statement = typeof text === 'string' ? text.trim().slice(0, 60) : 'a statement'
  return new NamedLockConfigurationError(
    because(
      'ended-by-statement',
      `The transaction under a named lock was ended by a statement of its work: ${statement}. MySQL and MariaDB commit at CREATE, ALTER, DROP, ` +
        'LOCK TABLES and START TRANSACTION, and every server at COMMIT. What was written before that statement stays as it left it; ' +
        'everything after it was refused. Run such statements outside the transaction.',
    ),
  )
}

function usedTooLate(): Error {
  return new NamedLockError(
    'The EntityManager or QueryRunner was used after its lock or transaction had ended, so the statement was not sent. Await everything inside the work.',
    { code: 'NOT_HELD' },
  )
}

/** Code in `scope` takes no part in the transaction of the scope `around` it. */
function isOutside(scope: LockScope | undefined, around: LockScope): boolean {
  for (let one = scope; one && one !== around; one = one.parent) {
    if (one.isOutside && one.dataSource === around.dataSource) return true
  }
  return false
}

function usedOutside(): Error {
  return new NamedLockConfigurationError(
    'A statement inside locks.outside was sent with the EntityManager of the transaction around it, so it would take part in that transaction. ' +
      "Use the DataSource's own manager and repositories there. typeorm-transactional and @nestjs-cls/transactional replace them with the " +
      "transaction's: call a method with Propagation.NOT_SUPPORTED or REQUIRES_NEW inside locks.outside.",
  )
}

function refuseStatement(callback: unknown, error: Error): undefined {
  // mysql2 throws, pg rejects: no difference for work that awaits.
  if (typeof callback !== 'function') throw error
  queueMicrotask(() => void (callback as AnyFunction)(error))
  return undefined
}
