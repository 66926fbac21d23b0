import type { DataSourceLike } from '../typeorm/data-source-like.js'
import { NamedLockConfigurationError, UnsupportedDriverError } from '../contract/errors.js'
import { singleRow, type Ask } from '../typeorm/raw-connection.js'
import type { Dialect } from './dialect.js'
import { MariaDbDialect } from './mysql/mariadb.js'
import { MySqlDialect } from './mysql/mysql.js'
import { PooledPostgresDialect } from './postgres/pooled-postgres.js'
import { PostgresDialect } from './postgres/postgres.js'

/** A DataSource may bring its dialect: the one for locks in memory does. */
export const OWN_DIALECT = Symbol('typeorm-named-lock.dialect')

const mysql = new MySqlDialect()
const mariadb = new MariaDbDialect()
const postgres = new PostgresDialect()
const pooledPostgres = new PooledPostgresDialect()

const ON_ONE_MACHINE = 'SQLite is a file of one machine and has no named locks'

/** Why there are no locks with a driver, for those people ask about. */
const REASONS = new Map(
  Object.entries({
    'aurora-mysql':
      'its HTTP API gives every statement another connection, and named locks belong to a connection. Use the mysql driver',
    'aurora-postgres':
      'its HTTP API gives every statement another connection, and locks belong to a connection. Use the postgres driver',
    cockroachdb: 'its advisory locks of a session lock nothing',
    spanner: 'Spanner has no named locks',
    sqlite: ON_ONE_MACHINE,
    'better-sqlite3': ON_ONE_MACHINE,
    capacitor: ON_ONE_MACHINE,
    cordova: ON_ONE_MACHINE,
    expo: ON_ONE_MACHINE,
    nativescript: ON_ONE_MACHINE,
    'react-native': ON_ONE_MACHINE,
    sqljs: 'sql.js lives in one process and has no named locks',
    mssql: "this library does not know SQL Server's application locks (sp_getapplock)",
    oracle: "this library does not know Oracle's DBMS_LOCK",
    sap: 'this library knows no named locks of SAP HANA',
    mongodb: 'MongoDB has no named locks',
  }),
)

/**
 * The dialect to begin with for a DataSource; the first session finds out which server it really is.
 *
 * @throws UnsupportedDriverError with the reason.
 */
export function dialectFor(dataSource: DataSourceLike): Dialect {
  const own = (dataSource as { [OWN_DIALECT]?: Dialect })[OWN_DIALECT]
  if (own) return own
  const driverType: unknown = dataSource.options.type
  if (driverType === 'mysql') return mysql
  if (driverType === 'mariadb') return mariadb
  if (driverType === 'postgres') return postgres
  const reason = REASONS.get(String(driverType)) ?? 'this library knows no named locks for it'
  throw new UnsupportedDriverError(
    `The driver '${String(driverType)}' cannot be used for named locks: ${reason}. Supported are 'mysql', 'mariadb' and 'postgres'.`,
  )
}

/**
 * The same for locks that live and end with a transaction.
 *
 * @throws NamedLockConfigurationError where the server has none.
 */
export function pooledDialectFor(dataSource: DataSourceLike): Dialect {
  const dialect = dialectFor(dataSource)
  if (dialect === postgres) return pooledPostgres
  throw new NamedLockConfigurationError(
    `pooling: 'transaction' is for PostgreSQL behind a pooler: ${dialect.server} has no locks that end with a transaction. Leave the option out.`,
  )
}

/** The server that a connection leads to. */
export interface FoundServer {
  /** Undefined where the version cannot be read; the dialect says why when it opens a session. */
  readonly dialect: Dialect | undefined
  readonly version: string
}

/** Both driver types of MySQL and MariaDB talk to both servers: the version decides which dialect is right. */
export async function findServer(ask: Ask): Promise<FoundServer> {
  const version = singleRow(await ask('SELECT VERSION() AS v,@@version_comment AS c')).join(' ')
  if (!/^\d/.test(version)) return { dialect: undefined, version }
  return { dialect: /mariadb/i.test(version) ? mariadb : mysql, version }
}
