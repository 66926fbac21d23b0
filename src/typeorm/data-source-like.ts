/*
 * These types are structural: TypeORM 0.3, 1.x and two copies of one version are nominally incompatible, and all of
 * them fit.
 */

/**
 * The members of a DataSource that the library uses. TypeORM 0.3 and 1.x both fit, and so does a second copy of either.
 */
export interface DataSourceLike {
  /** `type` selects the dialect. */
  readonly options: { readonly type: string }
  /** Whether `initialize()` has connected it. */
  readonly isInitialized: boolean
  /** The EntityManager of the pool. */
  readonly manager: EntityManagerLike
  /** Provides the connections of locks. */
  createQueryRunner(mode?: 'master' | 'slave'): { connect(): Promise<any>; release(): Promise<void> }
  /** Runs the pending migrations. */
  runMigrations(options?: any): Promise<unknown[]>
}

/** On a DataSource of locks in memory: the application's, for everything but locks. */
export const APPLICATION = Symbol('typeorm-named-lock.application')

/** The DataSource that the application sends its statements through. */
export function applicationOf(dataSource: DataSourceLike): DataSourceLike {
  return (dataSource as { [APPLICATION]?: DataSourceLike })[APPLICATION] ?? dataSource
}

/** The members of an EntityManager that the library uses. */
export interface EntityManagerLike {
  /** The QueryRunner of its transaction; undefined outside of one. */
  readonly queryRunner?: { readonly isTransactionActive: boolean } | undefined
  /** Runs SQL. */
  query(sql: string, parameters?: any[]): Promise<any>
}

/** The EntityManager of the user's own TypeORM. */
export type ManagerOf<DS extends DataSourceLike> = DS['manager']

/** The result of `runMigrations` of the user's own TypeORM. */
export type MigrationsOf<DS extends DataSourceLike> = Awaited<ReturnType<DS['runMigrations']>>
