import type { NamedLockServiceOptions } from '../../src/index.js'
import type { ServerKind } from '../support/servers.js'
import type { Stage } from './stage.js'

/**
 * One setting of a server, a session, a driver or a DataSource under which the locks have to work as ever. A row is data: what is
 * set, and where. `stage.ts` applies and restores it; `scenario.ts` is what each row is run through.
 */
export interface Variation {
  /** What `-g` finds it by, such as `sql_mode ANSI`. Unique among the rows of one server. */
  readonly name: string
  readonly kinds: readonly ServerKind[]
  /** Arguments of the server. Rows with the same arguments share one server. */
  readonly args?: readonly string[]
  /** MySQL and MariaDB: `SET GLOBAL`, in force for the row's connections, undone after it. Values are SQL. */
  readonly globals?: Readonly<Record<string, string | number>>
  /** PostgreSQL: `ALTER DATABASE … SET`, so that every session of the row's database begins with it. Values are SQL. */
  readonly database?: Readonly<Record<string, string | number>>
  /** PostgreSQL: `CREATE DATABASE … ` with these words, such as an encoding. */
  readonly created?: string
  /** Statements of the application on each connection that its pool opens. */
  readonly session?: readonly string[]
  /** A user without the rights of an administrator; with `initConnect` MySQL's `init_connect`, which only such users run. */
  readonly user?: 'ordinary'
  readonly initConnect?: string
  /** PostgreSQL: `ALTER ROLE … SET` of the ordinary user. */
  readonly role?: Readonly<Record<string, string | number>>
  /** Options of the DataSource, over those that lead to the server. */
  readonly dataSource?: Readonly<Record<string, unknown>> | ((stage: Stage) => Readonly<Record<string, unknown>>)
  /** Options of the driver: the DataSource's `extra`. */
  readonly extra?: Readonly<Record<string, unknown>>
  readonly service?: NamedLockServiceOptions
  /** PostgreSQL behind a PgBouncer with that `pool_mode`. */
  readonly pgBouncer?: 'session' | 'transaction'
  /** What the row needs in its database; runs as an administrator, connected to it. */
  readonly prepare?: readonly string[]
  /** Both majors of TypeORM: what is set goes through TypeORM. */
  readonly bothMajors?: true
  /** One of its mechanism: also part of `npm test`. */
  readonly isFast?: true

  /** Findings of `check()` that are right here; every other of severity 'error' or 'warning' is a failure. */
  readonly finds?: readonly string[]
  /** The lock calls are refused with a NamedLockConfigurationError or an UnsupportedDriverError of such a message: nothing else is run. */
  readonly refused?: RegExp
  /** The application can write nothing here. */
  readonly isReadOnly?: true
  /** Steps of the scenario that the application itself could not do under this setting, with the reason. */
  readonly without?: Readonly<Partial<Record<Step, string>>>
}

export type Step =
  | 'exclusion'
  | 'timeout'
  | 'hot name'
  | 'transaction'
  | 'lockTransaction'
  | 'work that writes'
  | 'several names'
  | 'inspection'
  | 'fencing'
  | 'loss'
  | 'abort'
  | 'readers'
  | 'migrations'
