import type { RunningServer } from '../../dev/servers/index.js'
import { NamedLockService } from '../../src/index.js'
import { borrowedConnections, onNewConnection, type DataSource, type Typeorm } from '../support/typeorms.js'
import { expectNoConnections, expectNoLocks } from '../support/leaks.js'
import { findPgBouncer, PgBouncer } from '../support/pgbouncer.js'
import { randomName } from '../support/random-name.js'
import type { ServerKind } from '../support/servers.js'
import { SqlClient } from '../support/sql-client.js'
import { settlesWithin, until } from '../support/until.js'
import { CreateFruits } from './create-fruits.js'
import type { Variation } from './variation.js'

const PASSWORD = 'ordinary'
/** Those that say what the row's connections themselves are about, and not what they were set to. */
const VOLATILE = new Set(
  'timestamp,rand_seed1,rand_seed2,last_insert_id,insert_id,identity,pseudo_thread_id,error_count,warning_count,gtid_next,gtid_executed,last_gtid,gtid_binlog_pos,gtid_current_pos,gtid_binlog_state,statement_id'.split(
    ',',
  ),
)

/** The server has no such setting: the row is one of other versions. */
export class NotHere extends Error {}

/** ER_UNKNOWN_SYSTEM_VARIABLE, ER_WRONG_VALUE_FOR_VAR and undefined_object. */
const UNKNOWN_SETTING: ReadonlySet<unknown> = new Set([1193, 1231, '42704'])

/** The settings of one connection, as rows of text. */
type Settings = ReadonlyMap<string, string>

/** One row at work: its settings applied to a server, a database of its own, and what connects to it. */
export class Stage {
  readonly kind: ServerKind
  readonly database = randomName('nl')
  readonly variation: Variation
  readonly server: RunningServer
  readonly typeorm: Typeorm
  readonly outsider: SqlClient
  /** The user of the row's own, where it has one. */
  readonly user = `${this.database}_u`
  readonly #globals = new Map<string, unknown>()
  readonly #dataSources: DataSource[] = []
  readonly #services: NamedLockService[] = []
  readonly #before = new Map<DataSource, Map<string, Settings>>()
  #pooler: PgBouncer | undefined
  /** PostgreSQL: an outsider inside the row's database. */
  #insider: SqlClient | undefined

  constructor(server: RunningServer, outsider: SqlClient, typeorm: Typeorm, variation: Variation) {
    this.kind = server.kind
    this.server = server
    this.outsider = outsider
    this.typeorm = typeorm
    this.variation = variation
  }

  get isPostgres(): boolean {
    return this.kind === 'postgres'
  }

  /** Applies the row's settings. */
  async set(): Promise<void> {
    const { variation, outsider, database, user } = this
    await outsider.query(`CREATE DATABASE ${database} ${variation.created ?? ''}`)
    // Before any setting of the row is in force: what the test itself asks is answered as ever.
    if (this.isPostgres) this.#insider = await SqlClient.connect(this.server, database)
    else await outsider.query(`USE ${database}`)
    if (variation.user) await this.#createUser()
    const engine = this.isPostgres ? '' : ' ENGINE=InnoDB'
    await this.onDatabase(`CREATE TABLE counters (name VARCHAR(20) PRIMARY KEY, value INT NOT NULL)${engine}`)
    for (const name of ['transaction', 'lock', 'work', 'alone'])
      await this.onDatabase(`INSERT INTO counters VALUES ('${name}', 0)`)
    if (variation.user && this.isPostgres)
      await this.onDatabase(`GRANT ALL ON counters TO ${user};GRANT ALL ON SCHEMA public TO ${user}`)
    for (const statement of variation.prepare ?? []) await this.onDatabase(statement.replaceAll('$user', user))
    for (const [name, value] of Object.entries(variation.database ?? {}))
      await known(name, outsider.query(`ALTER DATABASE ${database} SET ${name} = ${value}`))
    for (const [name, value] of Object.entries(variation.role ?? {}))
      await known(name, outsider.query(`ALTER ROLE ${user} SET ${name} = ${value}`))
    if (variation.initConnect !== undefined) await this.#setGlobal('init_connect', `'${variation.initConnect}'`)
    for (const [name, value] of Object.entries(variation.globals ?? {})) await this.#setGlobal(name, value)
    if (variation.pgBouncer) {
      const { kind, host, port, username, password } = this.server
      this.#pooler = await PgBouncer.start(
        findPgBouncer()!,
        { kind, host, port, username, password, database },
        { mode: variation.pgBouncer, poolSize: 30 },
      )
    }
  }

  /** Asks as an administrator, outside of the row's settings. */
  onDatabase(sql: string): Promise<Record<string, unknown>[]> {
    return (this.#insider ?? this.outsider).query(sql)
  }

  /** A DataSource as the row has it, initialised. */
  async dataSource(): Promise<DataSource> {
    const { variation, server, typeorm } = this
    const options = typeof variation.dataSource === 'function' ? variation.dataSource(this) : variation.dataSource
    const dataSource = new typeorm.module.DataSource({
      type: this.kind as 'mysql',
      host: server.host,
      port: server.port,
      username: variation.user ? this.user : server.username,
      password: variation.user ? PASSWORD : server.password,
      database: this.database,
      migrations: [CreateFruits],
      ...(variation.extra && { extra: variation.extra }),
      ...options,
      ...(this.#pooler && this.#pooler.address),
    })
    this.#dataSources.push(dataSource)
    await dataSource.initialize()
    if (variation.session) {
      const statements = variation.session
      const say = (connection: RawClient): void => {
        // Queued before anything that the pool's borrower sends.
        for (const statement of statements) connection.query(statement, () => undefined)
      }
      rawConnectionsOf(dataSource).forEach(say)
      onNewConnection(dataSource, say)
    }
    return dataSource
  }

  service(dataSource: DataSource): NamedLockService {
    const service = new NamedLockService(dataSource, { lease: '5s', ...this.variation.service })
    this.#services.push(service)
    return service
  }

  /** Fills the pool, and notes how each of its connections is set. */
  async look(dataSource: DataSource): Promise<void> {
    this.#before.set(dataSource, await this.#settingsOf(dataSource))
  }

  /** After the services are closed: every connection of every pool is as it was when the pool was filled. */
  async expectAsBefore(): Promise<void> {
    for (const [dataSource, before] of this.#before) {
      const [reference] = before.values()
      for (const [id, now] of await this.#settingsOf(dataSource)) {
        const was = before.get(id) ?? reference!
        const differences = [...new Set([...was.keys(), ...now.keys()])].filter(
          (name) => was.get(name) !== now.get(name),
        )
        if (differences.length === 0) continue
        const shown = differences.map(
          (name) => `${name}: ${was.get(name) ?? 'nothing'} → ${now.get(name) ?? 'nothing'}`,
        )
        throw new Error(`A pooled connection is not set as before: ${shown.join('; ')}`)
      }
      if (!this.isPostgres) await this.#expectNoTransactions(before.keys())
    }
  }

  /** Closes the services; no lock is held any more, and the pools have their connections back. */
  async expectNothingLeft(): Promise<void> {
    for (const service of this.#services.splice(0)) await settlesWithin(7_000, 'close()', service.close())
    await expectNoLocks(this.outsider, this.database)
    for (const dataSource of this.#dataSources) {
      await until('the pool has its connections back', () => borrowedFrom(dataSource) === 0, { within: 3_000 })
    }
  }

  /** Ends what is connected, and undoes the settings. */
  async clear(): Promise<void> {
    const problems: unknown[] = []
    const step = async (work: () => Promise<unknown>): Promise<void> =>
      void (await work().catch((e) => problems.push(e)))
    for (const service of this.#services) await step(() => settlesWithin(7_000, 'close()', service.close()))
    for (const dataSource of this.#dataSources)
      if (dataSource.isInitialized) await step(() => settlesWithin(7_000, 'destroy()', dataSource.destroy()))
    await step(async () => this.#pooler?.stop())
    await step(async () => this.#insider?.end())
    await step(() => expectNoConnections(this.outsider, this.database))
    for (const [name, value] of this.#globals) {
      const isNumber = /^-?\d+(\.\d+)?$/.test(String(value))
      await step(() => this.outsider.query(`SET GLOBAL ${name} = ${isNumber ? String(value) : `'${String(value)}'`}`))
    }
    await step(() => this.outsider.dropDatabase(this.database))
    if (this.variation.user)
      await step(() => this.outsider.query(this.isPostgres ? `DROP ROLE ${this.user}` : `DROP USER '${this.user}'@'%'`))
    if (problems.length > 0) throw problems[0]
  }

  async #setGlobal(name: string, value: string | number): Promise<void> {
    const before = await known(name, this.outsider.value(`SELECT @@GLOBAL.${name} AS v`))
    await known(name, this.outsider.query(`SET GLOBAL ${name} = ${value}`))
    this.#globals.set(name, before)
  }

  async #createUser(): Promise<void> {
    const { user, database, variation } = this
    const say = (sql: string): Promise<unknown> => this.onDatabase(sql)
    if (this.isPostgres) {
      await say(`CREATE ROLE ${user} LOGIN PASSWORD '${PASSWORD}'`)
      await say(`GRANT pg_signal_backend TO ${user}`)
      return
    }
    await say(`CREATE USER '${user}'@'%' IDENTIFIED BY '${PASSWORD}'`)
    await say(`GRANT ALL ON ${database}.* TO '${user}'@'%'`)
    await say(`GRANT SELECT ON performance_schema.* TO '${user}'@'%'`)
    await say(`GRANT PROCESS ON *.* TO '${user}'@'%'`)
    // The server runs no init_connect for accounts that may end connections.
    if (variation.initConnect !== undefined) return
    await say(`GRANT ${this.kind === 'mysql' ? 'CONNECTION_ADMIN' : 'CONNECTION ADMIN'} ON *.* TO '${user}'@'%'`)
  }

  /** All connections at once, so that none is looked at twice. */
  async #settingsOf(dataSource: DataSource): Promise<Map<string, Settings>> {
    const runners = Array.from({ length: sizeOf(dataSource) }, () => dataSource.createQueryRunner('master'))
    const settings = new Map<string, Settings>()
    try {
      const clients = (await Promise.all(runners.map((runner) => runner.connect()))) as RawClient[]
      for (const client of clients)
        settings.set(String(client.threadId ?? client.processID), await this.#settingsOn(client))
    } finally {
      for (const runner of runners) await runner.release()
    }
    return settings
  }

  async #settingsOn(client: RawClient): Promise<Settings> {
    if (this.isPostgres) {
      const sql =
        "SELECT name, setting || ' (' || source || ')' FROM pg_catalog.pg_settings UNION ALL SELECT 'PREPARE ' || name, statement FROM pg_catalog.pg_prepared_statements"
      return new Map(await rowsOf(client, sql))
    }
    // max_join_size may refuse even this to the application's connection.
    const [[, bigSelects] = ['', '1']] = await rowsOf(client, "SELECT '', @@SESSION.sql_big_selects")
    if (bigSelects === '0') await rowsOf(client, 'SET SESSION sql_big_selects = 1')
    const variables = await rowsOf(client, 'SHOW SESSION VARIABLES')
    if (bigSelects === '0') await rowsOf(client, 'SET SESSION sql_big_selects = 0')
    const rows = variables.filter(([name]) => !VOLATILE.has(name) && name !== 'sql_big_selects')
    rows.push(['sql_big_selects', bigSelects])
    const own = await this.outsider
      .query<Record<string, unknown>>(
        `SELECT CONCAT('@', v.VARIABLE_NAME) AS n, CAST(v.VARIABLE_VALUE AS CHAR) AS v FROM performance_schema.user_variables_by_thread v
         JOIN performance_schema.threads t ON t.THREAD_ID = v.THREAD_ID WHERE t.PROCESSLIST_ID = ${Number(client.threadId)}
         UNION ALL SELECT 'PREPARE', CAST(s.SQL_TEXT AS CHAR) FROM performance_schema.prepared_statements_instances s
         JOIN performance_schema.threads t ON t.THREAD_ID = s.OWNER_THREAD_ID WHERE t.PROCESSLIST_ID = ${Number(client.threadId)}`,
      )
      .catch(() => []) // the server does not look at itself
    // A user variable can be set to NULL, and not be removed.
    const set = own.filter(({ v }) => v !== null)
    return new Map([...rows, ...set.map(({ n, v }) => [String(n), String(v)] as const)])
  }

  async #expectNoTransactions(ids: Iterable<string>): Promise<void> {
    const open = await this.outsider.query<{ id: string }>(
      'SELECT CAST(trx_mysql_thread_id AS CHAR) AS id FROM information_schema.INNODB_TRX',
    )
    const ours = new Set(ids)
    const left = open.filter(({ id }) => ours.has(id))
    if (left.length > 0) throw new Error(`${left.length} pooled connections are inside a transaction`)
  }
}

function known<T>(name: string, setting: Promise<T>): Promise<T> {
  return setting.catch((error: unknown) => {
    const { errno, code, message } = error as { errno?: unknown; code?: unknown; message: string }
    if (!UNKNOWN_SETTING.has(errno) && !UNKNOWN_SETTING.has(code)) throw error
    throw new NotHere(`a server that knows this ${name}: ${message}`)
  })
}

/** A connection of mysql2 or pg, for what has to be asked past TypeORM and whatever options it has. */
interface RawClient {
  readonly threadId?: number
  readonly processID?: number
  query(statement: unknown, callback: (error: Error | null, result: any) => void): unknown
}

function rowsOf(client: RawClient, sql: string): Promise<[string, string][]> {
  const plain = (_field: unknown, next: () => unknown): unknown => next()
  const statement =
    client.processID === undefined
      ? { sql, rowsAsArray: true, nestTables: false, typeCast: plain }
      : { text: sql, rowMode: 'array' }
  return new Promise((resolve, reject) => {
    client.query(statement, (error, result: unknown) => {
      if (error) return reject(error)
      const rows = (Array.isArray(result) ? result : ((result as { rows?: unknown[] }).rows ?? [])) as unknown[][]
      resolve(rows.map(([name, value]) => [String(name), String(value)]))
    })
  })
}

interface AnyDriver {
  readonly pool?: { readonly config?: { readonly connectionLimit: number }; readonly _allConnections?: RawList }
  readonly master?: { readonly options: { readonly max: number }; readonly _clients?: readonly RawClient[] }
  readonly poolCluster?: { readonly _nodes: Readonly<Record<string, { readonly pool: MysqlPool }>> }
}

interface MysqlPool {
  readonly _allConnections: { readonly length: number }
  readonly _freeConnections: { readonly length: number }
}

interface RawList {
  readonly length: number
  get(index: number): RawClient | undefined
}

/** Connections that were taken from the pool, or under replication from any of the pools, and not given back. */
function borrowedFrom(dataSource: DataSource): number {
  const { poolCluster } = dataSource.driver as unknown as AnyDriver
  if (!poolCluster) return borrowedConnections(dataSource)
  const pools = Object.values(poolCluster._nodes).map(({ pool }) => pool)
  return pools.reduce((sum, pool) => sum + pool._allConnections.length - pool._freeConnections.length, 0)
}

function sizeOf(dataSource: DataSource): number {
  const { pool, master } = dataSource.driver as unknown as AnyDriver
  return Number(master?.options.max ?? pool?.config?.connectionLimit ?? 10)
}

function rawConnectionsOf(dataSource: DataSource): RawClient[] {
  const { pool, master } = dataSource.driver as unknown as AnyDriver
  if (master) return [...(master._clients ?? [])]
  const all = pool?._allConnections
  return Array.from({ length: all?.length ?? 0 }, (_, at) => all!.get(at)).filter((one) => one !== undefined)
}
