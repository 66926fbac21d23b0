export { NamedLockService, type NamedLockOf, type TransactionWork, type Work } from './named-lock-service.js'
export { NamedLock } from './named-lock.js'
export {
  WithNamedLock,
  type AsyncMethod,
  type NamedLockDecorator,
  type NamedLockTypeError,
  type WithNamedLockOptions,
} from './with-named-lock.js'
export * from './errors.js'
export { parseDuration, type Duration } from './duration.js'
export type {
  AcquireOptions,
  Finding,
  HandOverOptions,
  InspectOptions,
  ListOptions,
  LockHolder,
  LockInfo,
  LockList,
  LockName,
  LockNames,
  LockWaiter,
  NamedLockServiceOptions,
  SessionKind,
  TransactionOptions,
  TryResult,
} from './options.js'
export type { DataSourceLike, EntityManagerLike, ManagerOf, MigrationsOf } from './data-source-like.js'
export type { NamedLockEvent, NamedLockEvents } from './events.js'
export type { AcquireTrace } from './tracing.js'
