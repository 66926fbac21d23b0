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
import { isMemoryWanted, ownServer, dialectKinds, serverKinds, sharedServer, type ServerKind } from './servers.js'
import { SqlClient, type SqlAddress } from './sql-client.js'
import { TcpProxy } from './tcp-proxy.js'
import { borrowedConnections, makeDataSource, typeorms } from './typeorms.js'
import type { DataSource, TestDataSourceOptions, Typeorm } from './typeorms.js'
import { settlesWithin, until } from './until.js'

/**
 * Registers the tests once for every server and every major of TypeORM.
 *
 * On PostgreSQL only those that touch what differs between the majors (`isCore`: pools, runners, transactions) run with both.
 */
export function forEachServerAndTypeorm(
  define: (ctx: Conformance) => void,
  majors = typeorms,
  isCore: 'core' | undefined = undefined,
  kinds = serverKinds,
): void {
  for (const kind of kinds) {
    for (const typeorm of kind === 'postgres' && !isCore ? majors.slice(0, 1) : majors) {
      describe(`${kind}, ${typeorm.name}`, () => {
        const ctx = new Conformance(kind, typeorm)
        register(ctx)
        define(ctx)
      })
    }
  }
  if (isMemoryWanted && majors === typeorms) {
    describe('in memory', () => {
      const ctx = memoryConformance(Conformance)
      register(ctx)
      define(ctx)
    })
  }
}

/** What a server is started with; undefined: the tests are not about that kind. */
type ServerArgs = (kind: ServerKind) => readonly string[] | undefined

/**
 * The same with TypeORM 1.x alone and a server that nobody else uses: for tests that do harm to it. Arguments that are not given
 * for each kind are those of MySQL and MariaDB, and PostgreSQL is left out.
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
    // Reported as the test's own failure: an error thrown by a hook would skip the tests that follow.
    if (left && !failedAlready) (this.test as unknown as { error(error: Error): void }).error(left)
  })
  after('drop the databases', () => ctx.close())
}

/** The same, on PostgreSQL also when it is not asked for. */
export function forEachDialectAndTypeorm(define: (ctx: Conformance) => void, majors = typeorms, isCore?: 'core'): void {
  forEachServerAndTypeorm(define, majors, isCore, dialectKinds)
}

/** Where there are reader locks: PostgreSQL, and the locks in memory. */
export function forEachWithReaders(define: (ctx: Conformance) => void): void {
  const kinds = dialectKinds.filter((kind) => kind === 'postgres')
  forEachServerAndTypeorm(define, typeorms, undefined, kinds)
}

export function forEachDialect(define: (ctx: Conformance) => void): void {
  forEachDialectAndTypeorm(define, typeorms.slice(0, 1))
}

/** The same with TypeORM 1.x alone, for tests of what lies below TypeORM. */
export function forEachServer(define: (ctx: Conformance) => void): void {
  forEachServerAndTypeorm(define, typeorms.slice(0, 1))
}

/** What work under a lock says in MySQL's words. */
const LIKE_MYSQL = [
  "CREATE FUNCTION connection_id() RETURNS int LANGUAGE sql AS 'SELECT pg_backend_pid()'",
  "CREATE FUNCTION database() RETURNS text LANGUAGE sql AS 'SELECT current_database()::text'",
  "CREATE FUNCTION sleep(seconds numeric) RETURNS int LANGUAGE sql AS 'SELECT 0 FROM pg_sleep(seconds)'",
  "CREATE FUNCTION release_all_locks() RETURNS int LANGUAGE sql AS 'SELECT 0 FROM (SELECT pg_advisory_unlock_all()) AS done'",
]

/** What a conformance test works with: one server, one TypeORM, a database of its own, and everything cleaned up behind it. */
export class Conformance {
  readonly kind: ServerKind
  /** The same, for questions that are no reason to leave a test out. */
  readonly givenKind: ServerKind
  /** The database of this run of the file; also the namespace of its locks. */
  readonly database = randomName('nl')
  /** A second one, on the same server. */
  readonly otherDatabase = randomName('nl')
  /** The test that is running. */
  currentTest: Mocha.Test | undefined
  /** How long sockets and timers may take to be gone after a test, where that is not the usual time. */
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

  /** The server as a DataSource is told of it. */
  get address(): Pick<RunningServer, 'kind' | 'host' | 'port' | 'username' | 'password' | 'database'> {
    const { kind, host, port, username, password } = this.server
    return { kind, host, port, username, password, database: this.database }
  }

  /** A user who may do everything in the test's database, and nothing else. */
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

  /** What the server knows the lock of that name as. */
  keyOf(name: string, namespace: string | false = this.database): string {
    return this.kind === 'postgres' ? postgresKeyFor(namespace, name).toString() : keyFor(namespace, name)
  }

  /** The settings that make a session's lease, for comparing before and after. */
  get leaseSql(): string {
    return this.kind === 'postgres'
      ? "SELECT current_setting('idle_session_timeout') AS w, current_setting('idle_in_transaction_session_timeout') AS t, current_setting('statement_timeout') AS s, current_setting('lock_timeout') AS l"
      : 'SELECT @@SESSION.wait_timeout AS w'
  }

  /** The same question to either family of servers. */
  sql(mysql: string, postgres: string): string {
    return this.isPostgres ? postgres : mysql
  }

  /** The driver's own way to say how many connections the pool may have. */
  poolOf(size: number): Record<string, number> {
    return this.kind === 'postgres' ? { max: size } : { connectionLimit: size }
  }

  /** The case is not one of PostgreSQL: pending there, and listed with the reason when the run is over. */
  notOnPostgres(reason: string): void {
    if (!this.isPostgres || !this.currentTest) return
    // Of what a worker of a parallel run knows of a test, its title is what gets to the report.
    const needs = ` (needs MySQL or MariaDB: ${reason})`
    if (!this.currentTest.title.endsWith(needs)) this.currentTest.title += needs
    this.currentTest.ctx?.skip()
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

  /** The same, not initialised. */
  rawDataSource(options: TestDataSourceOptions & Partial<SqlAddress> & { database?: string } = {}): DataSource {
    const dataSource = makeDataSource(this.typeorm, { ...this.address, ...options }, options)
    this.#dataSources.add(dataSource)
    return dataSource
  }

  /** A service, on a new DataSource unless one is given; closed after the test. */
  async service(options?: NamedLockServiceOptions, dataSource?: DataSource): Promise<NamedLockService> {
    const service = new NamedLockService(dataSource ?? (await this.dataSource()), options)
    return this.adopt(service)
  }

  /** A service that was made by something else; closed after the test. */
  adopt(service: NamedLockService): NamedLockService {
    this.#services.add(service)
    return service
  }

  /** A door to the server that can be shut. */
  async proxy(): Promise<TcpProxy> {
    const proxy = await TcpProxy.start(this.server)
    this.#proxies.add(proxy)
    return proxy
  }

  /** One more outsider; ended after the test. */
  async connectOutsider(): Promise<SqlClient> {
    const client = await SqlClient.connect(this.server, this.#outsiders)
    this.#clients.add(client)
    return client
  }

  /** A controller whose signal must have no listeners after the test. */
  abortController(): AbortController {
    const controller = new AbortController()
    this.#signals.add(controller.signal)
    return controller
  }

  /** A child process of `test/support/fixtures` that is connected as this test is, as far as `dataSource` does not differ. */
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
    // Tables are named with their database on MySQL: a schema of that name stands for it.
    for (const name of databases) await creator.query(`ALTER DATABASE ${name} SET search_path = ${name}`)
    await creator.end()
    await this.reconnectOutsider()
    for (const name of databases) await this.outsider.query(`CREATE SCHEMA ${name}`)
    for (const definition of LIKE_MYSQL) await this.outsider.query(definition)
    const other = await SqlClient.connect(this.server, this.otherDatabase)
    await other.query(`CREATE SCHEMA ${this.otherDatabase}`)
    await other.end()
  }

  /** Where outsiders are connected: locks are those of one database on PostgreSQL, and of the whole server elsewhere. */
  get #outsiders(): string | undefined {
    return this.kind === 'postgres' ? this.database : undefined
  }

  /** After a fault that ended all connections. */
  async reconnectOutsider(): Promise<void> {
    await this.#outsider?.end()
    this.#outsider = await SqlClient.connect(this.server, this.#outsiders)
  }

  async beginTest(): Promise<void> {
    watchRejections()
    await new Promise((resolve) => setImmediate(resolve)) // mocha arms its own timer once it has the promise
    this.#resources = new Resources()
  }

  /**
   * Ends everything, and tells what was not gone: first what a test has to give back itself, then what close() and
   * destroy() are to end.
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
    await check(() => this.outsider.query('DO RELEASE_ALL_LOCKS()')) // of a test that failed half-way
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

  /** The pool has all of its connections back. */
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
