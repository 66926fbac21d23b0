/* The seam to TypeORM is structural: 0.3, 1.x and two copies of one version are nominally incompatible, and all fit here. */

/** What the library needs of a DataSource: TypeORM 0.3 and 1.x both fit, and so does a second copy of either. */
export interface DataSourceLike {
  readonly options: { readonly type: string }
  readonly isInitialized: boolean
  readonly manager: EntityManagerLike
  createQueryRunner(mode?: 'master' | 'slave'): { connect(): Promise<any>; release(): Promise<void> }
  runMigrations(options?: any): Promise<unknown[]>
}

/** What the library needs of an EntityManager. */
export interface EntityManagerLike {
  readonly queryRunner?: { readonly isTransactionActive: boolean } | undefined
  query(sql: string, parameters?: any[]): Promise<any>
}

/** The EntityManager of the user's own TypeORM. */
export type ManagerOf<DS extends DataSourceLike> = DS['manager']

/** What `runMigrations` of the user's own TypeORM resolves to. */
export type MigrationsOf<DS extends DataSourceLike> = Awaited<ReturnType<DS['runMigrations']>>
