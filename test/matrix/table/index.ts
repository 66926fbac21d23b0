import type { Variation } from '../variation.js'
import { dataSourceOptions } from './data-source-options.js'
import { mysqlDrivers } from './mysql-drivers.js'
import { mysqlServers } from './mysql-servers.js'
import { mysqlSessions } from './mysql-sessions.js'
import { mysqlVariables } from './mysql-variables.js'
import { postgresDrivers } from './postgres-drivers.js'
import { postgresServers } from './postgres-servers.js'
import { postgresSettings } from './postgres-settings.js'
import { poolers, serviceOptions } from './service-options.js'

/** All rows, a file for each kind of setting. */
export const table: readonly Variation[] = [
  ...mysqlVariables,
  ...mysqlSessions,
  ...mysqlDrivers,
  ...mysqlServers,
  ...postgresSettings,
  ...postgresDrivers,
  ...postgresServers,
  ...dataSourceOptions,
  ...serviceOptions,
  ...poolers,
]
