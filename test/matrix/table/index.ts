import type { Variation } from '../variation.js'
import { dataSourceOptions } from './data-source-options.js'
import { mysqlSessions } from './mysql-sessions.js'
import { mysqlVariables } from './mysql-variables.js'
import { postgresSettings } from './postgres-settings.js'

/** All rows, a file for each kind of setting. */
export const table: readonly Variation[] = [
  ...mysqlVariables,
  ...mysqlSessions,
  ...postgresSettings,
  ...dataSourceOptions,
]
