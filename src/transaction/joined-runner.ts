import { NamedLockConfigurationError } from '../contract/errors.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { nestedIsolation } from './checks.js'
import type { TransactionLevel } from './transaction-level.js'

/**
 * The QueryRunner of a transaction, as `createQueryRunner` returns it inside that transaction: the same runner on the same connection,
 * but neither to be released nor to be ended by the code that asked for it. A transaction that is begun on it is a savepoint.
 */
export class JoinedRunner implements ProxyHandler<WorkRunner> {
  readonly #level: TransactionLevel
  readonly #runner: WorkRunner
  /** The depths of the savepoints that were begun here and have not ended. */
  readonly #savepoints: (number | undefined)[] = []

  private constructor(level: TransactionLevel, runner: WorkRunner) {
    this.#level = level
    this.#runner = runner
  }

  static of(level: TransactionLevel): WorkRunner {
    // Not the level's own runner: with locks in memory it belongs to the DataSource of the application.
    const { queryRunner } = level.manager as { queryRunner: WorkRunner }
    return new Proxy(queryRunner, new JoinedRunner(level, queryRunner))
  }

  /** A property of the proxy. */
  get(runner: WorkRunner, property: PropertyKey): unknown {
    switch (property) {
      case 'startTransaction':
        return this.#begin
      case 'commitTransaction':
        return () => this.#end('commitTransaction')
      case 'rollbackTransaction':
        return () => this.#end('rollbackTransaction')
      case 'release':
        return this.#release
      default: {
        const value: unknown = Reflect.get(runner, property)
        return typeof value === 'function' ? (value.bind(runner) as unknown) : value
      }
    }
  }

  readonly #begin = async (isolation?: Parameters<WorkRunner['startTransaction']>[0]): Promise<void> => {
    nestedIsolation(isolation, this.#level.transaction.isolation)
    await this.#runner.startTransaction()
    this.#savepoints.push(this.#runner.transactionDepth)
  }

  async #end(how: 'commitTransaction' | 'rollbackTransaction'): Promise<void> {
    if (this.#savepoints.length === 0) {
      throw new NamedLockConfigurationError(
        `${how}() was called on a QueryRunner that takes part in a transaction under a named lock and has begun none itself. ` +
          'The transaction ends with the work: return to commit it, throw to roll it back.',
      )
    }
    this.#assertInnermost(how)
    this.#savepoints.pop()
    await this.#runner[how]()
  }

  /** Savepoints are a stack: TypeORM would end the innermost, whichever runner has begun it. */
  #assertInnermost(method: string): void {
    if (this.#runner.transactionDepth === this.#savepoints.at(-1)) return
    throw new NamedLockConfigurationError(
      `${method}() was called on a QueryRunner while a later savepoint of the same transaction under a named lock was still open. ` +
        'QueryRunners inside locks.transaction share its connection: end the inner one first, and do not run both in one Promise.all.',
    )
  }

  readonly #release = async (): Promise<void> => {
    while (this.#savepoints.length > 0) {
      if (this.#runner.isTransactionActive) this.#assertInnermost('release')
      this.#savepoints.pop()
      if (this.#runner.isTransactionActive) await this.#runner.rollbackTransaction()
    }
  }
}
