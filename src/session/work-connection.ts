import type { EventEmitter } from 'node:events'
import { NamedLockConfigurationError, NamedLockError } from '../errors.js'
import type { RawConnection } from './connection.js'
import type { Session } from './session.js'
import { queueMicrotask } from '../util/clock.js'

/** The driver's own functions, with all of their overloads. */
type AnyFunction = (...args: any[]) => any

type Driver = Record<PropertyKey, unknown>

/**
 * A session's connection as the work under its lock sees it, for one call: the driver's own connection, with three
 * differences. The session hears of every statement, because its deadline runs only while none is in flight. The connection
 * can not be given back from here. And once the call is over, nothing is sent any more: the connection may be another caller's
 * by then.
 */
export class WorkConnection implements ProxyHandler<Driver> {
  /** Stands for the driver's connection, whatever is asked of it. */
  readonly connection: RawConnection
  readonly #session: Session
  readonly #raw: Driver
  readonly #runner: { readonly isTransactionActive: boolean } | undefined
  readonly #query = (...args: any[]): unknown => this.#send(this.#raw.query as AnyFunction, args)
  #failures: WeakSet<object> | undefined
  #state: 'open' | 'closed' | 'detached' = 'open'
  #isCommitInDoubt = false
  /** The last error of a statement that was one of its own, and whether the COMMIT was answered by a ROLLBACK. */
  #lastError: Error | undefined
  #isRolledBack = false
  /** The error with which the server has rolled the transaction back. */
  #rolledBackBy: Error | undefined

  /** @param runner Given when work that goes on after the server has rolled its transaction back is to be stopped. */
  constructor(session: Session, runner?: { readonly isTransactionActive: boolean }) {
    this.#session = session
    this.#raw = session.connection as unknown as Driver
    this.#runner = runner
    this.connection = new Proxy(this.#raw, this) as unknown as RawConnection
  }

  /** What the proxy answers with. */
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

  /** True when a COMMIT went out and no answer has come that tells what became of the transaction. */
  get isCommitInDoubt(): boolean {
    return this.#isCommitInDoubt
  }

  /** The COMMIT has rolled back, as PostgreSQL does it without an error when a statement before it failed: that statement's error. */
  get commitRefusedBy(): Error | undefined {
    return this.#isRolledBack ? (this.#lastError ?? new Error('a statement in it had failed')) : undefined
  }

  /** Whether that error says that the connection failed under a statement of the work; TypeORM's wrapping does not hide it. */
  isFailure(error: unknown): boolean {
    if (typeof error !== 'object' || error === null) return false
    return this.#failures?.has(error) || this.isFailure((error as { driverError?: unknown }).driverError)
  }

  /** The call is over. */
  close(): void {
    this.#state = 'closed'
  }

  /** The session is over, and the connection is the application's: from now on this is the driver's connection and nothing more. */
  detach(): void {
    this.#state = 'detached'
  }

  #send(method: AnyFunction, args: any[]): unknown {
    const callback: unknown = args.at(-1)
    const text = textOf(args[0])
    if (this.#state === 'closed') return refuseStatement(callback, usedTooLate())
    if (this.#state === 'detached') return method.apply(this.#raw, args)
    if (text === 'ROLLBACK') this.#rolledBackBy = undefined
    // What came now would be a transaction of its own, each statement for itself.
    if (this.#rolledBackBy) return refuseStatement(callback, this.#rolledBackBy)
    const isCommit = text === 'COMMIT'
    if (isCommit) this.#isCommitInDoubt = true
    const sentAt = this.#session.workBegins()
    const answered = (error: Error | null | undefined, tell: () => void, result?: unknown): void => {
      const { dialect } = this.#session
      if (error && !dialect.isAnswer(error)) (this.#failures ??= new WeakSet()).add(error)
      else if (isCommit) this.#isCommitInDoubt = error ? dialect.leavesCommitOpen(error) : false
      if (error && !dialect.isAftermath(error)) this.#lastError = error
      else if (isCommit) this.#isRolledBack = dialect.isRolledBack(result)
      if (error && this.#runner?.isTransactionActive && dialect.endsTransaction(error)) this.#rolledBackBy = error
      this.#session.workEnds(sentAt, error, tell)
    }
    if (typeof callback === 'function') {
      args[args.length - 1] = (error: Error | null, ...results: unknown[]) =>
        answered(error, () => void (callback as AnyFunction)(error, ...results), results[0])
    }
    try {
      const command: unknown = method.apply(this.#raw, args)
      if (typeof callback === 'function') return command
      if (isPromise(command)) return settled(command, answered)
      // A stream, or events: they end with 'end', also after an error; and when they do not, the connection has.
      let isOver = false
      const over = (): void => {
        if (!isOver) answered(undefined, () => {})
        isOver = true
      }
      ;(command as EventEmitter).once('end', over).once('close', over)
      return command
    } catch (error) {
      answered(error as Error, () => {}) // the driver refused it, and nothing was sent
      throw error
    }
  }

  #refuse(method: string): never {
    throw new NamedLockConfigurationError(
      `${method}() of the connection was called by work under a named lock: the lock lives on this connection, which goes back when the lock is released.`,
    )
  }
}

/** mysql2's commands have a `then`, too: it only throws, for those who have the wrong package. */
function isPromise(value: unknown): value is Promise<unknown> {
  const { then, once } = (value ?? {}) as { then?: unknown; once?: unknown }
  return typeof then === 'function' && typeof once !== 'function'
}

/** The same outcome, handed on when the session says so. */
function settled(
  answer: Promise<unknown>,
  answered: (error: Error | undefined, tell: () => void, result?: unknown) => void,
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

function usedTooLate(): Error {
  return new NamedLockError(
    'The EntityManager or QueryRunner was used after the lock or transaction that it belonged to had ended. Await everything inside the work.',
    { code: 'NOT_HELD' },
  )
}

function refuseStatement(callback: unknown, error: Error): undefined {
  // mysql2 throws, pg rejects: whoever awaits sees no difference.
  if (typeof callback !== 'function') throw error
  queueMicrotask(() => void (callback as AnyFunction)(error))
  return undefined
}
