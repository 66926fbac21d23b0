import type { DataSource } from 'typeorm'
import type { DataSourceLike, EntityManagerLike } from '../typeorm/data-source-like.js'
import { NamedLockConfigurationError } from '../contract/errors.js'
import { keyFor } from '../names/lock-name.js'
import { NamedLockService } from '../service/named-lock-service.js'
import type { AcquireOptions, LockName, LockNames, NamedLockServiceOptions } from '../contract/options.js'
import { isSeveral } from '../names/targets.js'
import { servicesOf } from '../service/service-registry.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import { MemoryDataSource } from './memory-data-source.js'
import { adoptRunner } from './memory-runner.js'
import { MemoryServer } from './memory-server.js'

export interface InMemoryOptions extends NamedLockServiceOptions {
  /** Where the locks are. Services with the same one exclude each other, as processes with one server do. Default: one of its own. */
  server?: MemoryServer | undefined
}

/** A lock that somebody else holds, as far as the code under test can tell. */
export interface LockElsewhere {
  release(): void
  [Symbol.dispose](): void
}

/**
 * A NamedLockService without a server, for unit tests: the same code on locks in memory, so that queues, time limits, re-entrance,
 * events and errors are the real ones. It excludes callers within this process, and nobody else.
 *
 * @example
 * const locks = new InMemoryNamedLockService()
 * const orders = new OrderService(locks)
 * locks.holdElsewhere('settlement')
 * await expect(orders.settle()).to.be.rejectedWith(NamedLockTimeoutError)
 */
export class InMemoryNamedLockService<DS extends DataSourceLike = DataSource> extends NamedLockService<DS> {
  readonly #server: MemoryServer
  readonly #namespace: string | false
  readonly #memory: MemoryDataSource

  /**
   * @param dataSource The application's, of any kind (sqlite, …): `transaction` runs on it, and decorated methods that find their
   * service by it find this one. Left out: there are locks, and no EntityManager.
   */
  constructor(dataSource?: DS | InMemoryOptions, options: InMemoryOptions = {}) {
    const application = isDataSource<DS>(dataSource) ? dataSource : undefined
    const { server = new MemoryServer(), ...rest } = application
      ? options
      : ((dataSource as InMemoryOptions | undefined) ?? options)
    const memory = application instanceof MemoryDataSource ? application : new MemoryDataSource(server, application)
    super(memory as DataSourceLike as DS, rest)
    this.#server = server
    this.#memory = memory
    const registered = servicesOf(memory).registeredOf(this)
    this.#namespace = registered.namespace
    if (!application) return
    ;(this as { dataSource: DS }).dataSource = application
    if ((application as unknown) === memory) servicesOf(memory).choose(registered)
    else servicesOf(application).replaceBy(registered)
  }

  /**
   * Ends the connection that holds the lock, as a failing network would: the lock is lost, its signal aborts, and the next in
   * the queue gets it.
   *
   * @throws NamedLockConfigurationError when nobody holds it.
   */
  simulateLoss(name: LockName): void {
    const holders = this.#server.holdersOf(this.#key(name))
    if (holders.length === 0)
      throw new NamedLockConfigurationError(`simulateLoss: nobody holds the lock '${String(name)}'.`)
    for (const { connection } of holders) connection.die()
  }

  /**
   * Takes the lock, or several, as another process would, until it is released there.
   *
   * @param options `shared`: as a reader, beside others.
   * @throws NamedLockConfigurationError when somebody holds it already.
   */
  holdElsewhere(names: LockNames, { shared = false }: Pick<AcquireOptions, 'shared'> = {}): LockElsewhere {
    const connection = this.#server.connect()
    for (const name of isSeveral(names) ? names : [names]) {
      if (this.#server.take(connection, this.#key(name), shared)) continue
      connection.destroy()
      throw new NamedLockConfigurationError(`holdElsewhere: somebody holds the lock '${String(name)}' already.`)
    }
    return { release: () => connection.destroy(), [Symbol.dispose]: () => connection.destroy() }
  }

  override async lockTransaction(
    manager: EntityManagerLike,
    name: LockNames,
    options?: Omit<AcquireOptions, 'session'>,
  ): Promise<void> {
    // TypeORM 1.x, and 0.3.
    const its = manager as unknown as
      { queryRunner?: WorkRunner; dataSource?: unknown; connection?: unknown } | undefined
    const isOwn = (its?.dataSource ?? its?.connection) === this.dataSource
    const queryRunner = its?.queryRunner
    if (isOwn && queryRunner?.isTransactionActive) adoptRunner(queryRunner, this.#server)
    const ours = { queryRunner, dataSource: isOwn ? this.#memory : undefined }
    return super.lockTransaction(ours as unknown as EntityManagerLike, name, options)
  }

  #key(name: LockName): string {
    return keyFor(this.#namespace, name)
  }
}

function isDataSource<DS>(value: unknown): value is DS {
  return typeof (value as { createQueryRunner?: unknown } | undefined)?.createQueryRunner === 'function'
}
