import { setTimeout as sleep } from 'node:timers/promises'
import type { NamedLockServiceOptions } from '../../src/index.js'
import { keyFor } from '../../src/names/lock-name.js'
import { InMemoryNamedLockService, MemoryServer } from '../../src/testing/index.js'
import { MemoryDataSource } from '../../src/testing/memory-data-source.js'
import type { MemoryConnection } from '../../src/testing/memory-connection.js'
import type { RunningServer } from '../../dev/servers/index.js'
import type { Conformance } from './conformance.js'
import type { SqlClient } from './sql-client.js'
import { typeorms, type DataSource } from './typeorms.js'

/** Marks a test that needs a server as pending. The report lists the reason. */
export type NeedsServer = (what: string) => never

/**
 * The context of conformance tests on in-memory locks, for all tests that make sense without a server. If a test uses a
 * member that needs a server, it becomes pending.
 */
export function memoryConformance(Base: typeof Conformance): Conformance {
  class MemoryConformance extends Base {
    readonly #server = new CountingServer()
    readonly #outsiders = new Set<MemoryOutsider>()
    #outsider = this.#connect()
    readonly #needsServer: NeedsServer = (what) => {
      const test = this.currentTest?.ctx?.runnable()
      // From the workers of a parallel run, only the title of a test reaches the report.
      if (test && !test.title.endsWith(')')) test.title += ` (needs ${what})`
      return test?.skip() as never
    }

    constructor() {
      super('memory' as 'mysql', typeorms[0]!, () => Promise.reject(new Error('There is no server here.')))
      Object.defineProperty(this, 'kind', { get: () => this.#needsServer('the rules of one kind of server') })
    }

    override keyOf(name: string, namespace: string | false = this.database): string {
      return keyFor(namespace, name)
    }

    /** Connections to in-memory locks do not belong to a database. */
    override get server(): RunningServer {
      const known = { username: undefined }
      return new Proxy(known as unknown as RunningServer, {
        get: (target, property) => {
          return property in target ? Reflect.get(target, property) : this.#needsServer('a server that is a program')
        },
      })
    }

    override get address(): never {
      return this.#needsServer('a server that is a program')
    }

    override get outsider(): SqlClient {
      return this.#outsider as unknown as SqlClient
    }

    override async connectOutsider(): Promise<SqlClient> {
      return this.#connect() as unknown as SqlClient
    }

    override async dataSource(options: { database?: string; poolSize?: number } = {}): Promise<DataSource> {
      const { database = this.database, poolSize = ROOMY, ...others } = options
      if (poolSize < ROOMY) this.#needsServer('a pool that runs out')
      if (Object.keys(others).length > 0) this.#needsServer('SQL') // entities, modes
      return new TestDataSource(this.#server, database, this.#needsServer) as unknown as DataSource
    }

    override rawDataSource(): never {
      return this.#needsServer('a network')
    }

    override async service(options: NamedLockServiceOptions = {}, dataSource?: DataSource) {
      const all = { ...options, server: this.#server }
      if (options.connections) this.#needsServer('a DataSource to copy')
      return this.adopt(new InMemoryNamedLockService(dataSource ?? (await this.dataSource()), all))
    }

    override proxy(): never {
      return this.#needsServer('a network')
    }

    override startChild(): never {
      return this.#needsServer('other processes')
    }

    override async open(): Promise<void> {}

    override async expectNothingBorrowed(): Promise<void> {}

    override async close(): Promise<void> {}

    override async endTest(): Promise<Error | undefined> {
      // A test that became pending half-way has released nothing: waiting for that takes eight seconds.
      if (this.currentTest?.isPending()) for (const id of this.#server.connections) this.#server.kill(id)
      const left = await super.endTest()
      for (const outsider of this.#outsiders) outsider.connection.destroy()
      this.#outsiders.clear()
      this.#outsider = this.#connect()
      return left
    }

    #connect(): MemoryOutsider {
      const outsider = new MemoryOutsider(this.#server, this.#outsiders, (what) => this.#needsServer(what))
      this.#outsiders.add(outsider)
      return outsider
    }
  }
  return new MemoryConformance()
}

/** Large enough that the pool never limits the test. */
const ROOMY = 5

/** Counts its statements, as servers do. */
class CountingServer extends MemoryServer {
  statements = 0
  connected = 0

  override connect(): MemoryConnection {
    this.connected++
    const connection = super.connect()
    const query = connection.query.bind(connection)
    connection.query = (statement, callback) => {
      this.statements++
      query(statement, callback)
    }
    return connection
  }
}

/** The members of a DataSource that need a database; using one makes the test pending. */
class TestDataSource extends MemoryDataSource {
  readonly needsServer: NeedsServer
  readonly query = () => this.needsServer('SQL')
  readonly transaction = () => this.needsServer('SQL')
  readonly initialize = () => this.needsServer('a network')
  readonly destroy = () => this.needsServer('a network')

  constructor(server: MemoryServer, database: string, needsServer: NeedsServer) {
    super(server, undefined, database)
    this.needsServer = needsServer
  }

  override createQueryRunner(): ReturnType<MemoryDataSource['createQueryRunner']> {
    const runner = super.createQueryRunner()
    const absent = () => this.needsServer('SQL')
    const manager = new Proxy({}, { get: (_target, property) => (property === 'then' ? undefined : absent) })
    return Object.defineProperty(runner, 'manager', { value: manager })
  }
}

/** A connection that does not use the library. */
class MemoryOutsider {
  readonly connection: MemoryConnection
  readonly #server: CountingServer
  readonly #siblings: ReadonlySet<MemoryOutsider>
  readonly #needsServer: NeedsServer

  constructor(server: CountingServer, siblings: ReadonlySet<MemoryOutsider>, needsServer: NeedsServer) {
    this.connection = server.connect()
    this.#server = server
    this.#siblings = siblings
    this.#needsServer = needsServer
  }

  get id(): string {
    return this.connection.id
  }

  getLock(key: string, seconds = 0): Promise<boolean> {
    return seconds === 0
      ? Promise.resolve(this.#server.take(this.connection, key, false))
      : this.#server.wait(this.connection, key, false, seconds * 1000)
  }

  releaseLock(key: string): Promise<boolean> {
    return Promise.resolve(this.#server.give(this.connection, key, false))
  }

  async holderOf(key: string): Promise<string | null> {
    return this.#server.holdersOf(key)[0]?.connection.id ?? null
  }

  async kill(id: string): Promise<void> {
    this.#server.kill(id)
  }

  async userLocksOf() {
    return this.#server
      .rows()
      .filter(({ connectionId }) => !this.#isOutsider(connectionId))
      .map(({ key, connectionId, isGranted }) => ({ key, connectionId, status: isGranted ? 'GRANTED' : 'PENDING' }))
  }

  async connectionsOf() {
    return this.#server.connections
      .filter((id) => !this.#isOutsider(id))
      .map((id) => ({ id, database: null, command: 'Sleep', statement: null }))
  }

  async query(sql: string): Promise<unknown[]> {
    const [, seconds] = /^SELECT SLEEP\((.+)\)$/.exec(sql) ?? []
    if (seconds !== undefined) await sleep(Number(seconds) * 1000)
    else if (sql === 'DO RELEASE_ALL_LOCKS()') this.#server.giveAll(this.connection)
    else if (sql !== 'SELECT 1') this.#needsServer('SQL')
    return []
  }

  async value(): Promise<never> {
    return this.#needsServer('SQL')
  }

  async counters(): Promise<{ statements: number; connections: number }> {
    const { statements, connected } = this.#server
    return { statements, connections: connected }
  }

  async end(): Promise<void> {
    this.connection.destroy()
  }

  #isOutsider(id: string): boolean {
    return [...this.#siblings].some((outsider) => outsider.id === id)
  }
}
