import { APPLICATION, type DataSourceLike, type EntityManagerLike } from '../typeorm/data-source-like.js'
import { OWN_DIALECT } from '../dialect/choose-dialect.js'
import type { Dialect } from '../dialect/dialect.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { MemoryDialect } from './memory-dialect.js'
import { MemoryRunner } from './memory-runner.js'
import type { MemoryServer } from './memory-server.js'

/**
 * Connections to the in-memory server, in the form that the service uses: QueryRunners of a DataSource. Everything but
 * locks (entity managers, transactions) comes from the application's own DataSource, if there is one.
 */
export class MemoryDataSource implements DataSourceLike {
  readonly options: { readonly type: string; readonly database: string; readonly poolSize: number }
  readonly isInitialized = true
  readonly manager: EntityManagerLike
  readonly [OWN_DIALECT]: Dialect
  readonly [APPLICATION]: DataSourceLike | undefined
  readonly #server: MemoryServer

  constructor(server: MemoryServer, application: DataSourceLike | undefined, database = 'memory') {
    this.options = { type: 'memory', database, poolSize: 1_000 }
    this.manager = application?.manager ?? noManager()
    this[OWN_DIALECT] = new MemoryDialect(server)
    this.#server = server
    this[APPLICATION] = application
  }

  createQueryRunner(): WorkRunner {
    return new MemoryRunner(this.#server, this[APPLICATION], this.manager)
  }

  async runMigrations(options?: unknown): Promise<unknown[]> {
    return this[APPLICATION]?.runMigrations(options) ?? []
  }
}

/** A placeholder that throws an explanation as soon as it is used. */
function noManager(): EntityManagerLike {
  const absent = (): never => {
    throw new NamedLockConfigurationError(
      'There is no EntityManager: this InMemoryNamedLockService was created without a DataSource. Pass one: new InMemoryNamedLockService(dataSource).',
    )
  }
  return new Proxy({} as EntityManagerLike, {
    // A promise that resolves to it reads `then`; a guard of the service reads the others to detect an open
    // transaction.
    get: (_target, property) =>
      typeof property === 'symbol' || ['then', 'queryRunner', 'transaction'].includes(property) ? undefined : absent,
  })
}
