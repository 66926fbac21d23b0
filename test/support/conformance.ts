import { after, afterEach, before, beforeEach, describe } from 'mocha'
import { keyFor, postgresKeyFor } from '../../src/names/lock-name.js'
import { NamedLockService, type NamedLockServiceOptions } from '../../src/index.js'
import type { RunningServer } from '../../dev/servers/index.js'
import { finishChildren, startChild, type Child } from './child.js'
import {
  expectNoConnections,
  expectNoListeners,
  expectNoLocks,
  expectNoUnhandledRejections,
  watchRejections,
  Resources,
} from './leaks.js'
import { randomName } from './random-name.js'
import { memoryConformance } from './memory-conformance.js'
import {
  isMemoryWanted,
  ownServer,
  dialectKinds,
  familyKinds,
  serverKinds,
  sharedServer,
  type ServerKind,
} from './servers.js'
import { SqlClient, type SqlAddress } from './sql-client.js'
import { TcpProxy } from './tcp-proxy.js'
import { borrowedConnections, makeDataSource, typeorms } from './typeorms.js'
import type { DataSource, TestDataSourceOptions, Typeorm } from './typeorms.js'
import { settlesWithin, until } from './until.js'

/**
 * Registers the tests once for every server and every major version of TypeORM.
 *
 * MySQL has all of them with both. On the others only tests of parts that differ between the majors (`isCore`: pools,
 * runners, transactions) run with both: the majors differ in what they do with a connection, not with a server. A run on
 * MariaDB alone has all of its tests with both.
 */
export function forEachServerAndTypeorm(
  define: (ctx: Conformance) => void,
  majors = typeorms,
  isCore: 'core' | undefined = undefined,
  kinds = serverKinds,
  inMemory = isMemoryWanted && majors === typeorms,
): void {
  for (const kind of kinds) {
    for (const typeorm of isCore || hasAllWithBoth(kind) ? majors : majors.slice(0, 1)) {
      describe(`${kind}, ${typeorm.name}`, () => {
        const ctx = new Conformance(kind, typeorm)
        register(ctx)
        define(ctx)
      })
    }
  }
  if (inMemory) {
    describe('in memory', () => {
      const ctx = memoryConformance(Conformance)
      register(ctx)
      define(ctx)
    })
  }
}

function hasAllWithBoth(kind: ServerKind): boolean {
  return kind === 'mysql' || (kind === 'mariadb' && process.env.NAMED_LOCK_TEST_SERVERS !== undefined)
}

/** The arguments of a server; undefined if the tests do not cover that kind. */
type ServerArgs = (kind: ServerKind) => readonly string[] | undefined

/**
 * Registers tests with TypeORM 1.x alone on a server of their own, for tests that harm it. A plain list of arguments
 * applies to MySQL and MariaDB only, and leaves PostgreSQL out.
 */
export function forEachOwnServer(
  define: (ctx: Conformance) => void,
  args: readonly string[] | ServerArgs = () => [],
  kinds = dialectKinds,
): void {
  const argsOf = typeof args === 'function' ? args : (kind: ServerKind) => (kind === 'postgres' ? undefined : args)
  for (const kind of kinds) {
    const given = argsOf(kind)
    if (!given) continue
    describe(`${kind}, a server of its own`, () => {
      const ctx = new Conformance(kind, typeorms[0]!, () => ownServer(kind, given))
      register(ctx)
      after('stop the server', () => ctx.server.stop())
      define(ctx)
    })
  }
}

function register(ctx: Conformance): void {
  before('start the server', async function () {
    this.timeout(600_000)
    await ctx.open()
  })
  beforeEach('look at what is there', function () {
    ctx.currentTest = this.currentTest
    return ctx.beginTest()
  })
  afterEach('look at what is left behind', async function () {
    const failedAlready = this.currentTest?.state === 'failed'
    const left = await ctx.endTest()
    // Reported as the test's own failure: an error thrown by a hook would skip the following tests.
    if (left && !failedAlready) (this.test as unknown as { error(error: Error): void }).error(left)
  })
  after('drop the databases', () => ctx.close())
}

/** Like `forEachServerAndTypeorm`, but includes PostgreSQL by default. */
export function forEachDialectAndTypeorm(define: (ctx: Conformance) => void, majors = typeorms, isCore?: 'core'): void {
  forEachServerAndTypeorm(define, majors, isCore, dialectKinds)
}

/** Registers the tests of a feature that the in-memory server has as well, with TypeORM 1.x alone. */
export function forEachDialectAndMemory(define: (ctx: Conformance) => void): void {
  forEachServerAndTypeorm(define, typeorms.slice(0, 1), undefined, dialectKinds, isMemoryWanted)
}

export function forEachDialect(define: (ctx: Conformance) => void): void {
  forEachDialectAndTypeorm(define, typeorms.slice(0, 1))
}

/** Like `forEachServerAndTypeorm` with TypeORM 1.x alone, for tests of the layers below TypeORM. */
export function forEachServer(define: (ctx: Conformance) => void): void {
  forEachServerAndTypeorm(define, typeorms.slice(0, 1))
}

/** For what lies above the dialects: one server of each family, with TypeORM 1.x alone. */
export function forEachFamily(define: (ctx: Conformance) => void, kinds = familyKinds): void {
  forEachServerAndTypeorm(define, typeorms.slice(0, 1), undefined, kinds)
}

/** Statements of work under a lock, by their MySQL form. */
const LIKE_MYSQL = [
  "CREATE FUNCTION connection_id() RETURNS int LANGUAGE sql AS 'SELECT pg_backend_pid()'",
  "CREATE FUNCTION database() RETURNS text LANGUAGE sql AS 'SELECT current_database()::text'",
  "CREATE FUNCTION sleep(seconds numeric) RETURNS int LANGUAGE sql AS 'SELECT 0 FROM pg_sleep(seconds)'",
  "CREATE FUNCTION release_all_locks() RETURNS int LANGUAGE sql AS 'SELECT 0 FROM (SELECT pg_advisory_unlock_all()) AS done'",
]

/**
 * The context of a conformance test: one server, one TypeORM and a separate database. It cleans everything up after the
 * test.
 */
export class Conformance {
  readonly kind: ServerKind
  /** The kind of server, for conditions inside a test that runs everywhere. */
  readonly givenKind: ServerKind
  /** The database for this run of the file; also the namespace of its locks. */
  readonly database = randomName('nl')
  /** A second database, on the same server. */
  readonly otherDatabase = randomName('nl')
  /** The running test. */
  currentTest: Mocha.Test | undefined
  /** How long sockets and timers may take to end after a test, if not the usual time. */
  leakPatience: number | undefined
  #server: RunningServer | undefined
  #outsider: SqlClient | undefined
  #resources: Resources | undefined
  readonly #dataSources = new Set<DataSource>()
  readonly #services = new Set<NamedLockService>()
  readonly #clients = new Set<SqlClient>()
  readonly #signals = new Set<AbortSignal>()
  readonly #proxies = new Set<TcpProxy>()

  constructor(
    kind: ServerKind,
    readonly typeorm: Typeorm,
    readonly startServer: () => Promise<RunningServer> = () => sharedServer(kind),
  ) {
    this.kind = kind
    this.givenKind = kind
  }

  get server(): RunningServer {
    if (!this.#server) throw new Error('There is no server before the first test.')
    return this.#server
  }

  /** A plain connection, outside of the test's databases. */
  get outsider(): SqlClient {
    if (!this.#outsider) throw new Error('There is no outsider before the first test.')
    return this.#outsider
  }

  /** The server as options of a DataSource. */
  get address(): Pick<RunningServer, 'kind' | 'host' | 'port' | 'username' | 'password' | 'database'> {
    const { kind, host, port, username, password } = this.server
    return { kind, host, port, username, password, database: this.database }
  }

  /** A user with all privileges on the test's database, and no others. */
  async createUser(name: string, password: string): Promise<void> {
    if (this.isPostgres) {
      await this.outsider.query(`CREATE ROLE ${name} LOGIN PASSWORD '${password}'`)
      return
    }
    await this.outsider.query(`CREATE USER '${name}'@'%' IDENTIFIED BY '${password}'`)
    await this.outsider.query(`GRANT ALL ON ${this.database}.* TO '${name}'@'%'`)
  }

  async dropUser(name: string): Promise<void> {
    await this.outsider.query(this.sql(`DROP USER '${name}'@'%'`, `DROP ROLE ${name}`))
  }

  /** The key of the lock of that name on the server. */
  keyOf(name: string, namespace: string | false = this.database): string {
    return this.kind === 'postgres' ? postgresKeyFor(namespace, name).toString() : keyFor(namespace, name)
  }

  /** The settings behind a session's lease, for a comparison before and after. */
  get leaseSql(): string {
    return this.kind === 'postgres'
      ? "SELECT current_setting('idle_session_timeout') AS w, current_setting('idle_in_transaction_session_timeout') AS t, current_setting('statement_timeout') AS s, current_setting('lock_timeout') AS l"
      : 'SELECT @@SESSION.wait_timeout AS w'
  }

  /** Runs the statement for this family of servers. */
  sql(mysql: string, postgres: string): string {
    return this.isPostgres ? postgres : mysql
  }

  /** The driver's own option for the size of the pool. */
  poolOf(size: number): Record<string, number> {
    return this.kind === 'postgres' ? { max: size } : { connectionLimit: size }
  }

  /** Marks the test as pending on PostgreSQL, and lists it with the reason at the end of the run. */
  notOnPostgres(reason: string): void {
    if (!this.isPostgres || !this.currentTest) return
    // From the workers of a parallel run, only the title of a test reaches the report.
    const needs = ` (needs MySQL or MariaDB: ${reason})`
    if (!this.currentTest.title.endsWith(needs)) this.currentTest.title += needs
    this.currentTest.ctx?.skip()
  }

  /** In memory there is no server that could be asked. */
  get isMemory(): boolean {
    return (this.givenKind as string) === 'memory'
  }

  get isPostgres(): boolean {
    return (this.givenKind as string) === 'postgres'
  }

  /** An initialised DataSource; destroyed after the test. */
  async dataSource(
    options: TestDataSourceOptions & Partial<SqlAddress> & { database?: string } = {},
  ): Promise<DataSource> {
    return this.rawDataSource(options).initialize()
  }

  /** A DataSource that is not initialised. */
  rawDataSource(options: TestDataSourceOptions & Partial<SqlAddress> & { database?: string } = {}): DataSource {
    const dataSource = makeDataSource(this.typeorm, { ...this.address, ...options }, options)
    this.#dataSources.add(dataSource)
    return dataSource
  }

  /** A service, on a new DataSource unless one is passed; closed after the test. */
  async service(options?: NamedLockServiceOptions, dataSource?: DataSource): Promise<NamedLockService> {
    const service = new NamedLockService(dataSource ?? (await this.dataSource()), options)
    return this.adopt(service)
  }

  /** Takes over a service created by the test itself; it is closed after the test. */
  adopt(service: NamedLockService): NamedLockService {
    this.#services.add(service)
    return service
  }

  /** A TCP proxy in front of the server, which can be closed. */
  async proxy(): Promise<TcpProxy> {
    const proxy = await TcpProxy.start(this.server)
    this.#proxies.add(proxy)
    return proxy
  }

  /** Another outsider; closed after the test. */
  async connectOutsider(): Promise<SqlClient> {
    const client = await SqlClient.connect(this.server, this.#outsiders)
    this.#clients.add(client)
    return client
  }

  /** A controller. Its signal must have no listeners after the test. */
  abortController(): AbortController {
    const controller = new AbortController()
    this.#signals.add(controller.signal)
    return controller
  }

  /**
   * A child process of `test/support/fixtures` that connects like this test, except for the options in `dataSource`.
   */
  startChild(
    fixture: string,
    { dataSource, ...settings }: { name: string; dataSource?: object } & Record<string, unknown>,
  ): Child {
    const { kind: type, ...address } = this.address
    return startChild(fixture, {
      typeorm: this.typeorm.packageName,
      dataSource: { type, ...address, ...dataSource },
      ...settings,
    })
  }

  async open(): Promise<void> {
    this.#server = await this.startServer()
    const databases = [this.database, this.otherDatabase]
    if (this.kind !== 'postgres') await this.reconnectOutsider()
    const creator = this.kind === 'postgres' ? await SqlClient.connect(this.server) : this.outsider
    for (const name of databases) await creator.query(`CREATE DATABASE ${name}`)
    if (this.kind !== 'postgres') return
    // On MySQL tables are qualified by their database; a schema of that name replaces it here.
    for (const name of databases) await creator.query(`ALTER DATABASE ${name} SET search_path = ${name}`)
    await creator.end()
    await this.reconnectOutsider()
    for (const name of databases) await this.outsider.query(`CREATE SCHEMA ${name}`)
    for (const definition of LIKE_MYSQL) await this.outsider.query(definition)
    const other = await SqlClient.connect(this.server, this.otherDatabase)
    await other.query(`CREATE SCHEMA ${this.otherDatabase}`)
    await other.end()
  }

  /** The database of outsiders: on PostgreSQL locks belong to one database, elsewhere to the whole server. */
  get #outsiders(): string | undefined {
    return this.kind === 'postgres' ? this.database : undefined
  }

  /** Reconnects the outsider after a fault that ended all connections. */
  async reconnectOutsider(): Promise<void> {
    await this.#outsider?.end()
    this.#outsider = await SqlClient.connect(this.server, this.#outsiders)
  }

  async beginTest(): Promise<void> {
    watchRejections()
    await new Promise((resolve) => setImmediate(resolve)) // mocha starts its own timer once it has the promise
    this.#resources = new Resources()
  }

  /**
   * Closes everything, and reports leaks: first those that a test must release itself, then those that close() and
   * destroy() must end.
   */
  async endTest(): Promise<Error | undefined> {
    const problems: Error[] = []
    const check = async (step: () => unknown) => {
      try {
        await step()
      } catch (error) {
        problems.push(error as Error)
      }
    }
    const databases = [this.database, this.otherDatabase]
    await check(() => finishChildren())
    await check(() => this.#endAll(this.#clients, (client) => client.end()))
    await check(() => this.outsider.query('DO RELEASE_ALL_LOCKS()')) // locks of a test that failed half-way
    for (const database of databases) await check(() => expectNoLocks(this.outsider, database))
    const services = [...this.#services]
    await check(() => this.#endAll(this.#services, (service) => settlesWithin(7_000, 'close()', service.close())))
    for (const { dataSource } of services) await check(() => this.expectNothingBorrowed(dataSource))
    await check(() => this.#endAll(this.#dataSources, (dataSource) => this.#destroy(dataSource)))
    await check(() => this.#endAll(this.#proxies, (proxy) => proxy.shut()))
    for (const database of databases) await check(() => expectNoConnections(this.outsider, database))
    await check(() => expectNoListeners(this.#signals))
    this.#signals.clear()
    await check(() => this.#resources?.expectNoMore(this.leakPatience))
    await check(() => expectNoUnhandledRejections())
    return problems.length > 1 ? new AggregateError(problems, problems.map(String).join('\n')) : problems[0]
  }

  /** Waits until the pool has all of its connections back. */
  async expectNothingBorrowed(dataSource: DataSource): Promise<void> {
    if (!dataSource.isInitialized) return
    const back = () => borrowedConnections(dataSource) === 0
    await until('the pool has its connections back', back, { within: 2_000 })
  }

  async close(): Promise<void> {
    if (!this.#outsider) return
    const isPostgres = this.kind === 'postgres'
    if (isPostgres) {
      await this.outsider.end()
      this.#outsider = await SqlClient.connect(this.server)
    }
    for (const name of [this.database, this.otherDatabase]) {
      await this.outsider.dropDatabase(name)
    }
    await this.outsider.end()
  }

  async #destroy(dataSource: DataSource): Promise<void> {
    if (dataSource.isInitialized) await settlesWithin(5_000, 'dataSource.destroy()', dataSource.destroy())
  }

  async #endAll<T>(set: Set<T>, end: (one: T) => Promise<void>): Promise<void> {
    const results = await Promise.allSettled([...set].map(end))
    set.clear()
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }
}
