export { NamedLockService, type NamedLockOf, type TransactionWork, type Work } from './service/named-lock-service.js'
export { NamedLock } from './scope/named-lock.js'
export type { LeaderTerm } from './scope/leader-term.js'
export type { LeadOptions, LeaderWork, Leadership } from './lead/leadership.js'
export { WithNamedLock } from './decorator/with-named-lock.js'
export type {
  AnyMethod,
  AsyncMethod,
  NamedLockDecorator,
  NameOfMethod,
  WithNamedLockOptions,
} from './decorator/decorator-options.js'
export * from './contract/errors.js'
export type { NamedLockTypeError } from './contract/type-error.js'
export type { NamedLockErrorCode } from './contract/error-code.js'
export { parseDuration, type Duration } from './contract/duration.js'
export type {
  AcquireOptions,
  CheckOptions,
  HandOverOptions,
  InspectOptions,
  ListOptions,
  LockName,
  LockMode,
  LockNames,
  NamedLockServiceOptions,
  ReleaseKind,
  RetryOptions,
  SessionKind,
  TransactionOptions,
  TryResult,
} from './contract/options.js'
export type { Finding, LockHolder, LockInfo, LockList, LockWaiter } from './contract/lock-info.js'
export type { DataSourceLike, EntityManagerLike, ManagerOf, MigrationsOf } from './typeorm/data-source-like.js'
export type { ForgetDoneOptions, ForgetOptions, OnceOptions, OnceResult } from './once/once-options.js'
export type { NamedLockEvent, NamedLockEvents } from './observe/events.js'
export type { AcquireTrace } from './observe/tracing.js'
