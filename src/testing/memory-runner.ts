import type { DataSourceLike } from '../typeorm/data-source-like.js'
import type { RawConnection } from '../typeorm/raw-connection.js'
import { plainRunner } from '../typeorm/plain-runner.js'
import type { WorkRunner } from '../typeorm/query-runner.js'
import type { MemoryConnection } from './memory-connection.js'
import type { MemoryServer } from './memory-server.js'

/**
 * A QueryRunner of two halves: the lock's connection leads to the in-memory server, the work's to the application's
 * database.
 */
export class MemoryRunner implements WorkRunner {
  readonly #server: MemoryServer
  readonly #application: DataSourceLike | undefined
  readonly #noManager: unknown
  #runner: WorkRunner | undefined
  #connection: MemoryConnection | undefined
  #rollback: Promise<unknown> | undefined
  #isReleased = false

  constructor(server: MemoryServer, application: DataSourceLike | undefined, noManager: unknown) {
    this.#server = server
    this.#application = application
    this.#noManager = noManager
  }

  get manager(): unknown {
    return this.#application ? this.#work.manager : this.#noManager
  }

  get isTransactionActive(): boolean {
    return this.#runner?.isTransactionActive ?? false
  }

  get isReleased(): boolean {
    return this.#isReleased
  }

  connect(): Promise<RawConnection> {
    return Promise.resolve((this.#connection ??= this.#server.connect()))
  }

  async release(): Promise<void> {
    this.#isReleased = true
    // There is no pool to return to: a released connection is closed, and its locks are free.
    this.#connection?.destroy()
    await this.#rollback
    await this.#runner?.release()
  }

  /** Without a DataSource a transaction is nothing but its lock. */
  async startTransaction(isolation?: Parameters<WorkRunner['startTransaction']>[0]): Promise<void> {
    const connection = (await this.connect()) as MemoryConnection
    // What a transaction without a DataSource has left, which has no ROLLBACK.
    this.#server.done.rollBack(connection.itself)
    if (!this.#application) return
    await this.#work.startTransaction(isolation)
    // The lock's connection: on a database server, the transaction would end with it.
    connection.whenClosed(() => {
      this.#rollback = rollBack(this.#work)
    })
  }

  async commitTransaction(): Promise<void> {
    if (this.#rollback) throw new Error('the connection was closed')
    await this.#runner?.commitTransaction()
    this.#server.done.commit(((await this.connect()) as MemoryConnection).itself)
  }

  async rollbackTransaction(): Promise<void> {
    await (this.#rollback ?? this.#runner?.rollbackTransaction())
    this.#server.done.rollBack(((await this.connect()) as MemoryConnection).itself)
  }

  get #work(): WorkRunner {
    return (this.#runner ??= plainRunner(this.#application as DataSourceLike))
  }
}

const adopted = new WeakSet<object>()

/**
 * Adds a second half to the runner of the application's own transaction: the in-memory server answers the statements of
 * the service, everything else goes to the database.
 */
export function adoptRunner(runner: WorkRunner, server: MemoryServer): void {
  if (adopted.has(runner)) return
  adopted.add(runner)
  const connect = runner.connect.bind(runner)
  runner.connect = async () => {
    const real = (await connect()) as object | undefined
    const memory = server.connect()
    memory.whenClosed(() => void rollBack(runner))
    return new Proxy(real ?? {}, {
      get: (target, property) => {
        const half: object = property in memory ? memory : target
        const value: unknown = Reflect.get(half, property)
        return typeof value === 'function' ? (value.bind(half) as unknown) : value
      },
    }) as RawConnection
  }
}

async function rollBack(runner: WorkRunner): Promise<void> {
  if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined)
}
