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

/** The options of a service in memory: those of a NamedLockService, and the server. */
export interface InMemoryOptions extends NamedLockServiceOptions {
  /**
   * Stores the locks. Services with the same server exclude each other, like processes with one database server.
   * Default: a new one.
   */
  server?: MemoryServer | undefined
}

/** A lock held by a simulated process outside of the code under test. */
export interface LockElsewhere {
  /** The simulated process releases the lock. */
  release(): void
  [Symbol.dispose](): void
}

/**
 * A NamedLockService without a database server, for unit tests: the real service on in-memory locks, with real queues,
 * timeouts, reentrancy, events and errors. It excludes only callers within this process.
 *
 * @example
 * const locks = new InMemoryNamedLockService()
 * const elsewhere = locks.holdElsewhere('settlement')
 * const result = await locks.tryWithLock('settlement', report)
 * assert.equal(result.acquired, false)
 * elsewhere.release()
 */
export class InMemoryNamedLockService<DS extends DataSourceLike = DataSource> extends NamedLockService<DS> {
  readonly #server: MemoryServer
  readonly #namespace: string | false
  readonly #memory: MemoryDataSource

  /**
   * @param dataSource The application's DataSource, of any kind (sqlite, …): `transaction` runs on it, and decorated
   * methods that look up their service by it find this one. Without it there are locks, but no EntityManager.
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
   * Ends the connection that holds the lock, as a failing network would: the lock is lost, its signal aborts, and the
   * next waiter gets it.
   *
   * @throws A {@link NamedLockConfigurationError}: The lock is free.
   */
  simulateLoss(name: LockName): void {
    const holders = this.#server.holdersOf(this.#key(name))
    if (holders.length === 0)
      throw new NamedLockConfigurationError(`simulateLoss: the lock '${String(name)}' is not held.`)
    for (const { connection } of holders) connection.die()
  }

  /**
   * Acquires one or several locks as another process would, until `release()` of the result is called.
   *
   * @param options `mode`: `'read'` as a reader, otherwise alone.
   * @throws A {@link NamedLockConfigurationError}: The lock is already held.
   */
  holdElsewhere(names: LockNames, { mode }: Pick<AcquireOptions, 'mode'> = {}): LockElsewhere {
    const connection = this.#server.connect()
    for (const name of isSeveral(names) ? names : [names]) {
      if (this.#server.take(connection, this.#key(name), mode === 'read')) continue
      connection.destroy()
      throw new NamedLockConfigurationError(`holdElsewhere: the lock '${String(name)}' is already held.`)
    }
    return { release: () => connection.destroy(), [Symbol.dispose]: () => connection.destroy() }
  }

  override async lockTransaction(
    manager: EntityManagerLike,
    name: LockNames,
    options?: Omit<AcquireOptions, 'session' | 'permits'>,
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
