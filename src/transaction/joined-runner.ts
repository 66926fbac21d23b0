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
  /** Savepoints that were begun here and have not ended. */
  #savepoints = 0

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
    this.#savepoints++
  }

  async #end(how: 'commitTransaction' | 'rollbackTransaction'): Promise<void> {
    if (this.#savepoints === 0) {
      throw new NamedLockConfigurationError(
        `${how}() was called on a QueryRunner that takes part in a transaction under a named lock and has begun none itself. ` +
          'The transaction ends with the work: return to commit it, throw to roll it back.',
      )
    }
    this.#savepoints--
    await this.#runner[how]()
  }

  readonly #release = async (): Promise<void> => {
    for (; this.#savepoints > 0; this.#savepoints--) {
      if (this.#runner.isTransactionActive) await this.#runner.rollbackTransaction()
    }
  }
}
