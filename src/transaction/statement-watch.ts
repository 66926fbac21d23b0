import { NamedLockError, NamedLockOutsideTransactionError } from '../contract/errors.js'
import { withAddress } from '../contract/troubleshooting.js'
import { transactionScope } from '../scope/lock-scope.js'
import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { replaceCreateQueryRunner } from '../typeorm/plain-runner.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { processWide } from '../util/process-wide.js'
import { WhileUsed } from '../util/while-used.js'
import { JoinedRunner } from './joined-runner.js'
import { levelAround } from './level-around.js'
import { TransactionLevel } from './transaction-level.js'

const watched = processWide('statements', () => new WhileUsed())
/** The methods of a QueryRunner through which all others send. */
const SENDERS: ReadonlySet<PropertyKey> = new Set(['connect', 'query', 'stream', 'startTransaction'])
/** Transactions that have warned: once each. */
const warned = processWide('outsideWarnings', () => new WeakSet<object>())
/** By guarded `connect`. Not by runner: each query has a runner of its own, and a set of them costs garbage collection. */
const guarded = processWide('guardedConnects', () => new WeakMap<Connect, Guarded>())

type Connect = WorkRunner['connect']
interface Guarded {
  readonly original: Connect
  readonly isOver: () => boolean
}

/**
 * Watches all statements of a DataSource that are sent inside `locks.transaction`. TypeORM gets the connection for each of them from a
 * QueryRunner: a new one of `createQueryRunner`, unless the code has one. So with `ambientTransactions`, `createQueryRunner` returns the
 * transaction's own runner there, and everything takes part in the transaction. Any other runner may get no connection there: what it
 * sent would be committed separately, and see another snapshot. Outside of transactions all of this costs one look at the async context.
 *
 * @param scoped The DataSource by which scopes know their transactions: another one than `dataSource` where locks are in memory.
 * @returns How to stop.
 */
export function watchStatements(dataSource: DataSourceLike, scoped: object): () => void {
  return watched.start(scoped, () => watch(dataSource, scoped))
}

function watch(dataSource: DataSourceLike, scoped: object): () => void {
  let isOver = false

  const guardOf = (connect: Connect): Connect => {
    const guardedConnect = function (this: WorkRunner): ReturnType<Connect> {
      const refusal = isOver ? undefined : refusalOf(this, scoped)
      return refusal ? Promise.reject(refusal) : connect.call(this)
    }
    guarded.set(guardedConnect, { original: connect, isOver: () => isOver })
    return guardedConnect
  }

  // All runners of a driver inherit one method: its guard is made once.
  let inherited: Connect | undefined
  let inheritedGuard: Connect | undefined
  const guard = (runner: WorkRunner): WorkRunner => {
    // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its runner
    let { connect } = runner
    // SQLite has one runner for everything, which may have the guard of now or of a service that has closed.
    const before = guarded.get(connect)
    if (before && !before.isOver()) return runner
    if (before) connect = before.original
    if (connect !== inherited || !inheritedGuard) {
      inherited = connect
      inheritedGuard = guardOf(connect)
    }
    runner.connect = inheritedGuard
    return runner
  }

  const undo = replaceCreateQueryRunner(dataSource, (original) => {
    return function createQueryRunner(mode) {
      const level = isOver ? undefined : levelAround(scoped)
      const isJoined = level?.call?.settings.ambientTransactions
      if (isJoined && level.isActive) return JoinedRunner.of(level)
      const runner = original.call(dataSource, mode) as WorkRunner
      return isJoined ? refusing(runner, rolledBack(level)) : guard(runner)
    }
  })

  return () => {
    isOver = true
    undo()
  }
}

/** A runner that sends nothing. A proxy, because SQLite has one runner for everything. */
function refusing(runner: WorkRunner, error: Error): WorkRunner {
  return new Proxy(runner, {
    get: (target, property) => (SENDERS.has(property) ? () => Promise.reject(error) : Reflect.get(target, property)),
  })
}

/** Why a runner must get no connection here; undefined where it may. */
function refusalOf(runner: WorkRunner, scoped: object): Error | undefined {
  const level = transactionScope(scoped)?.transaction
  if (!(level instanceof TransactionLevel) || !level.call || isRunnerOf(level, runner)) return undefined
  const { outsideTransaction } = level.call.settings
  if (outsideTransaction === 'allow') return undefined
  const message = outsideMessage(level.call.lock.name)
  if (outsideTransaction === 'error') return new NamedLockOutsideTransactionError(message)
  if (!warned.has(level.transaction)) {
    process.emitWarning(withAddress(message, 'OUTSIDE_TRANSACTION'), 'NamedLockWarning')
  }
  warned.add(level.transaction)
  return undefined
}

function isRunnerOf(level: TransactionLevel, runner: WorkRunner): boolean {
  return (level.manager as { queryRunner?: unknown } | undefined)?.queryRunner === runner
}

function outsideMessage(name: string): string {
  return (
    `A statement inside the transaction under lock '${name}' was sent on another connection. It would be committed ` +
    'separately, survive a rollback, and not see what the transaction has written. Use locks.manager ' +
    '(for an injected repository: locks.manager.withRepository(repository)); or set ambientTransactions: true, so that repositories ' +
    'and the DataSource take part automatically; or wrap what must not take part: locks.outside(() => …).'
  )
}

function rolledBack(level: TransactionLevel): Error {
  return new NamedLockError(
    `The transaction under lock '${level.call?.lock.name}' was rolled back while a branch of its work went on. The statement was not sent. ` +
      'Await everything inside the work, or wrap what must not take part: locks.outside(() => …).',
    { code: 'NOT_HELD' },
  )
}
