import type { NamedLockErrorCode } from './error-code.js'
import type { LockHolder } from './lock-info.js'
import { recognisedAcrossCopies } from '../util/across-copies.js'
import { withAddress } from './troubleshooting.js'

/** The outcome of a transaction. `'unknown'`: the connection was lost during the COMMIT, and only the data shows which. */
export type TransactionOutcome = 'committed' | 'rolledBack' | 'unknown'

/**
 * Base of every error of this library. Thrown itself when the database answers with an error (`DATABASE`: that error is `cause`),
 * by `NamedLock.assertHeld` (`NOT_HELD`), as the reason of a leader's signal after a resignation (`RESIGNED`), and by `transaction` when a subscriber fails after the COMMIT (`COMMITTED`: the
 * subscriber's error is `cause`).
 */
export class NamedLockError extends Error {
  /** Stable, for scripts and `switch`. */
  readonly code: NamedLockErrorCode
  /** From `transaction`: its outcome, where the error is about that. */
  declare readonly outcome?: TransactionOutcome | undefined

  constructor(
    message: string,
    options?: ErrorOptions & { code?: NamedLockErrorCode | undefined; outcome?: TransactionOutcome | undefined },
  ) {
    super(withAddress(message, options?.code ?? 'DATABASE'), options)
    this.code = options?.code ?? 'DATABASE'
    if (options?.outcome) this.outcome = options.outcome
  }

  static {
    // On the prototype, as the built-in errors have it: own properties would show up in every log line.
    Object.defineProperty(this.prototype, 'name', { value: 'NamedLockError', configurable: true, writable: true })
  }
}

function named(constructor: abstract new (...args: never[]) => Error, name: string): void {
  recognisedAcrossCopies(constructor, name)
  Object.defineProperty(constructor.prototype, 'name', { value: name, configurable: true, writable: true })
}

/** The timeout expired while the lock was held. `holder` identifies the holder, if known. */
export class NamedLockTimeoutError extends NamedLockError {
  /** Always `TIMEOUT`. */
  declare readonly code: 'TIMEOUT'
  /** The holder of the lock when the timeout expired; undefined if unknown. */
  readonly holder: LockHolder | undefined

  constructor(message: string, options?: ErrorOptions & { holder?: LockHolder | undefined }) {
    super(message, { ...options, code: 'TIMEOUT' })
    this.holder = options?.holder
  }
}

/** The lock was lost while it was held: its connection died or its lease ran out. Another caller may hold it by now. */
export class NamedLockLostError extends NamedLockError {
  /** Always `LOST`. */
  declare readonly code: 'LOST'
  /**
   * From `transaction`: the outcome of the transaction on the lock's connection. `'unknown'`: the connection was lost during the
   * COMMIT, and only the data shows which.
   */
  declare readonly outcome?: 'rolledBack' | 'unknown' | undefined

  constructor(message: string, options?: ErrorOptions & { outcome?: 'rolledBack' | 'unknown' | undefined }) {
    super(message, { ...options, code: 'LOST' })
  }
}

/** Waiting would never end: this caller and others wait for each other. */
export class NamedLockDeadlockError extends NamedLockError {
  /** Always `DEADLOCK`. */
  declare readonly code: 'DEADLOCK'
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'DEADLOCK' })
  }
}

/** The running scope holds the lock already. Pass `reentrant: true` to share it. */
export class NamedLockReentrancyError extends NamedLockError {
  /** Always `REENTRANCY`. */
  declare readonly code: 'REENTRANCY'
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'REENTRANCY' })
  }
}

/** Requested inside a running transaction, where the lock would be released before the COMMIT. */
export class NamedLockInsideTransactionError extends NamedLockError {
  /** Always `INSIDE_TRANSACTION`. */
  declare readonly code: 'INSIDE_TRANSACTION'
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'INSIDE_TRANSACTION' })
  }
}

/**
 * A statement inside `transaction` was sent on another connection, where it would be committed separately and see another snapshot. It
 * was not sent.
 */
export class NamedLockOutsideTransactionError extends NamedLockError {
  /** Always `OUTSIDE_TRANSACTION`. */
  declare readonly code: 'OUTSIDE_TRANSACTION'
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'OUTSIDE_TRANSACTION' })
  }
}

/** The name is not valid for a lock. */
export class InvalidLockNameError extends NamedLockError {
  /** Always `INVALID_NAME`. */
  declare readonly code: 'INVALID_NAME'
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'INVALID_NAME' })
  }
}

/** The DataSource's driver has no locks this library can use. */
export class UnsupportedDriverError extends NamedLockError {
  /** Always `UNSUPPORTED_DRIVER`. */
  declare readonly code: 'UNSUPPORTED_DRIVER'
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'UNSUPPORTED_DRIVER' })
  }
}

/** A wrong option, argument or set-up. Nothing was sent to the database for it. */
export class NamedLockConfigurationError extends NamedLockError {
  /** Always `CONFIGURATION`. */
  declare readonly code: 'CONFIGURATION'
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'CONFIGURATION' })
  }
}

/** The service was closed, before the call or while it waited. */
export class NamedLockClosedError extends NamedLockError {
  /** Always `CLOSED`. */
  declare readonly code: 'CLOSED'
  constructor(message: string, options?: ErrorOptions) {
    super(message, { ...options, code: 'CLOSED' })
  }
}

recognisedAcrossCopies(NamedLockError, 'NamedLockError')
named(NamedLockTimeoutError, 'NamedLockTimeoutError')
named(NamedLockLostError, 'NamedLockLostError')
named(NamedLockDeadlockError, 'NamedLockDeadlockError')
named(NamedLockReentrancyError, 'NamedLockReentrancyError')
named(NamedLockInsideTransactionError, 'NamedLockInsideTransactionError')
named(NamedLockOutsideTransactionError, 'NamedLockOutsideTransactionError')
named(InvalidLockNameError, 'InvalidLockNameError')
named(UnsupportedDriverError, 'UnsupportedDriverError')
named(NamedLockConfigurationError, 'NamedLockConfigurationError')
named(NamedLockClosedError, 'NamedLockClosedError')
