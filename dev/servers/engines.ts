import type { Engine } from './engine.js'
import { mariadbEngine, mysqlEngine } from './mysql-family.js'
import { postgresEngine } from './postgres-engine.js'
import type { ServerKind } from './server-types.js'

export const engines: Readonly<Record<ServerKind, Engine>> = {
  mysql: mysqlEngine,
  mariadb: mariadbEngine,
  postgres: postgresEngine,
}
