import { runInScope, scopeAround, type LockScope, type ScopedTransaction } from '../scope/lock-scope.js'
import type { Sessions } from '../session/sessions.js'
import { WorkConnection } from '../work/work-connection.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { TransactionLocks } from './transaction-locks.js'

type Method = 'commitTransaction' | 'rollbackTransaction' | 'release' | 'connect'

/**
 * Adopts a transaction that the application runs itself, with its first lock: sets the lease on its connection, keeps the connection
 * alive, and replaces the methods of its QueryRunner that end a transaction. After each of them the locks are released if the
 * transaction is not active any more, also when the method rejects: a subscriber that throws after the COMMIT rejects a transaction that
 * has ended. At savepoints the transaction goes on. A QueryRunner that is released while its transaction is active loses its connection:
 * the pool would lend it, with its locks, to the next caller.
 */
export async function adoptTransaction(
  runner: WorkRunner,
  sessions: Sessions,
  scope: LockScope,
  level: () => ScopedTransaction | undefined,
  onEnd: () => void,
): Promise<TransactionLocks> {
  const session = await sessions.adopt(runner)
  session.noteTransactionStatus('open')
  const work = new WorkConnection(session, runner, 'application')
  const locks = new TransactionLocks(runner, session, work, scope)
  let hasEnded = false

  const end = async (): Promise<void> => {
    if (hasEnded) return
    hasEnded = true
    scope.end()
    onEnd()
    for (const restore of restorers) restore()
    // Further statements of the work would be autocommitted: refuse them until the application has its connection back.
    work.close()
    const released = locks.release()
    // Sent right behind the releases, without waiting for their answers: the application's COMMIT or ROLLBACK waits for all of it.
    await Promise.all([released, sessions.open.giveBack(session)])
    restoreConnect()
    work.detach()
  }

  const restoreConnect = replace(runner, 'connect', () => () => Promise.resolve(work.connection))

  const restorers = [
    replace(runner, 'commitTransaction', (original) => () => thenEnd(original)),
    replace(runner, 'rollbackTransaction', (original) => () => thenEnd(original)),
    replace(runner, 'release', (original) => () => {
      if (!hasEnded) session.lose(new Error('its QueryRunner was released while the transaction was active'))
      return original()
    }),
  ]

  const thenEnd = async (original: () => Promise<unknown>): Promise<void> => {
    // Subscribers run here: for them the locks are held until they are released.
    const around = scopeAround(scope, level())
    try {
      await runInScope(around, original)
    } finally {
      if (!runner.isTransactionActive) await end()
      around.end()
    }
  }

  session.whenLost(() => void end())
  return locks
}

/** Replaces a method of this one object; the result undoes it, unless other code has replaced it since. */
function replace(
  runner: WorkRunner,
  name: Method,
  make: (original: () => Promise<unknown>) => () => Promise<unknown>,
): () => void {
  const own = Object.getOwnPropertyDescriptor(runner, name)
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its runner below
  const before: () => Promise<unknown> = runner[name]
  const replacement = make(() => before.call(runner))
  Object.defineProperty(runner, name, { value: replacement, configurable: true, writable: true, enumerable: false })
  return () => {
    if (runner[name] !== replacement) return
    if (own) Object.defineProperty(runner, name, own)
    else delete (runner as Partial<WorkRunner>)[name]
  }
}
