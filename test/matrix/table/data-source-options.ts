import type { Stage } from '../stage.js'
import type { Variation } from '../variation.js'

const all = ['mysql', 'mariadb', 'postgres'] as const
const family = ['mysql', 'mariadb'] as const
const postgres = ['postgres'] as const

const quiet = (): void => undefined
/** A logger that logs everything. */
const logger = {
  logQuery: quiet,
  logQueryError: quiet,
  logQuerySlow: quiet,
  logSchemaBuild: quiet,
  logMigration: quiet,
  log: quiet,
}

const login = ({ server, database }: Stage): object => ({
  host: server.host,
  port: server.port,
  username: server.username,
  password: server.password,
  database,
})

const urlOf = (stage: Stage, query = ''): Record<string, unknown> => ({
  url: `${stage.server.url.replace(/[^/]*$/, stage.database)}${query}`,
  ...{ host: undefined, port: undefined, username: undefined, password: undefined, database: undefined },
})

type Options = Variation['dataSource']

const options: readonly [Variation['kinds'], string, Options, Partial<Variation>?][] = [
  [all, 'poolSize 2', { poolSize: 2 }, { finds: ['POOL_TOO_SMALL'], isFast: true }],
  [all, 'poolSize 3', { poolSize: 3 }, { finds: ['POOL_TOO_SMALL'] }],
  [all, 'poolSize 20', { poolSize: 20 }],
  [all, 'poolSize of text', { poolSize: '12' }],
  [family, 'poolSize of words', { poolSize: 'twelve' }, { finds: ['POOL_SIZE_NOT_A_NUMBER'] }],
  [all, 'logging of everything', { logging: true, logger }],
  [all, 'maxQueryExecutionTime 1', { maxQueryExecutionTime: 1, logger }],
  [all, 'cache', { cache: true }],
  [all, 'entityPrefix', { entityPrefix: 'shop_' }],
  [all, 'migrationsTableName', { migrationsTableName: 'changes' }],
  [all, 'migrationsTransactionMode none', { migrationsTransactionMode: 'none' }],
  [all, 'migrationsTransactionMode each', { migrationsTransactionMode: 'each' }],
  [all, 'synchronize', { synchronize: true }, { without: { migrations: '', transaction: '', lockTransaction: '' } }],
  [all, 'url', (stage) => urlOf(stage)],
  [family, 'supportBigNumbers off', { supportBigNumbers: false }],
  [family, 'bigNumberStrings off', { bigNumberStrings: false }],
  [family, 'dateStrings', { dateStrings: true }],
  [family, 'timezone Z', { timezone: 'Z' }],
  [family, 'timezone +09:00', { timezone: '+09:00' }],
  [family, 'charset latin1', { charset: 'latin1_swedish_ci' }],
  [family, 'charset utf8mb4_unicode_ci', { charset: 'utf8mb4_unicode_ci' }],
  [family, 'legacySpatialSupport off', { legacySpatialSupport: false }],
  [family, 'multipleStatements', { multipleStatements: true }],
  [family, 'flags', { flags: ['-FOUND_ROWS', '-LOCAL_FILES'] }],
  [family, 'insecureAuth', { insecureAuth: true }],
  [family, 'enableQueryTimeout', { enableQueryTimeout: true, maxQueryExecutionTime: 2_000 }],
  [family, 'connectTimeout 5000', { connectTimeout: 5_000 }],
  [family, 'trace', { trace: true }],
  [family, 'stringifyObjects', { stringifyObjects: true }],
  [family, 'connectorPackage mysql2', { connectorPackage: 'mysql2' }],
  [family, 'the type of the other server', (stage) => ({ type: stage.kind === 'mysql' ? 'mariadb' : 'mysql' })],
  [['mysql'], 'ssl', { ssl: { rejectUnauthorized: false } }],
  [family, 'url with options', (stage) => urlOf(stage, '?charset=utf8mb4&connectTimeout=9000')],
  [
    family,
    'replication',
    (stage) => ({ replication: { master: login(stage), slaves: [login(stage)] } }),
    { finds: ['REPLICATION_NOT_RESTORED'] },
  ],
  [
    family,
    'replication with restoreNodeTimeout',
    (stage) => ({
      replication: { master: login(stage), slaves: [login(stage)], restoreNodeTimeout: 100, removeNodeErrorCount: 3 },
    }),
  ],
  [postgres, 'replication', (stage) => ({ replication: { master: login(stage), slaves: [login(stage)] } })],
  [
    postgres,
    'replication, reads at the slave',
    (stage) => ({ replication: { defaultMode: 'slave', master: login(stage), slaves: [login(stage)] } }),
  ],
  [postgres, 'applicationName', { applicationName: 'shop' }],
  [postgres, 'parseInt8', { parseInt8: true }],
  [postgres, 'useUTC', { useUTC: true }],
  [postgres, 'schema public', { schema: 'public' }],
  [postgres, 'installExtensions off', { installExtensions: false }],
  [postgres, 'uuidExtension', { uuidExtension: 'pgcrypto' }],
  [postgres, 'connectTimeoutMS', { connectTimeoutMS: 5_000 }],
  [postgres, 'poolErrorHandler', { poolErrorHandler: quiet }],
  [postgres, 'logNotifications', { logNotifications: true }],
  [postgres, 'ssl off', { ssl: false }],
]

/** Options of TypeORM's DataSource. */
export const dataSourceOptions: readonly Variation[] = options
  .filter(([, , dataSource]) => dataSource !== undefined)
  .map(([kinds, name, dataSource, more]) => ({
    name,
    kinds,
    dataSource: dataSource!,
    bothMajors: true,
    ...more,
  }))
