export { NamedLockService, type NamedLockOf, type TransactionWork, type Work } from './service/named-lock-service.js'
export { NamedLock } from './scope/named-lock.js'
export {
  WithNamedLock,
  type AsyncMethod,
  type NamedLockDecorator,
  type NamedLockTypeError,
  type WithNamedLockOptions,
} from './decorator/with-named-lock.js'
export * from './contract/errors.js'
export { parseDuration, type Duration } from './contract/duration.js'
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
} from './contract/options.js'
export type { DataSourceLike, EntityManagerLike, ManagerOf, MigrationsOf } from './typeorm/data-source-like.js'
export type { NamedLockEvent, NamedLockEvents } from './contract/events.js'
export type { AcquireTrace } from './observe/tracing.js'
