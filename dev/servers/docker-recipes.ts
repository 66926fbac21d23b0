import { mysqlFamilyArgs, withoutXProtocol } from './mysql-family.js'
import { postgresArgs } from './postgres-engine.js'
import { appLogin, type ServerKind } from './server-types.js'

const { username, password, database } = appLogin

/** The settings for running the official image of a kind of server. */
export interface DockerRecipe {
  readonly image: string
  readonly port: number
  readonly environment: Record<string, string>
  readonly args: readonly string[]
}

export const dockerRecipes: Readonly<Record<ServerKind, DockerRecipe>> = {
  mysql: {
    image: 'mysql:9',
    port: 3306,
    environment: {
      MYSQL_ALLOW_EMPTY_PASSWORD: 'yes',
      MYSQL_DATABASE: database,
      MYSQL_USER: username,
      MYSQL_PASSWORD: password,
    },
    args: [...mysqlFamilyArgs, withoutXProtocol],
  },
  mariadb: {
    image: 'mariadb:11.8',
    port: 3306,
    environment: {
      MARIADB_ALLOW_EMPTY_ROOT_PASSWORD: 'yes',
      MARIADB_DATABASE: database,
      MARIADB_USER: username,
      MARIADB_PASSWORD: password,
    },
    args: mysqlFamilyArgs,
  },
  postgres: {
    image: 'postgres:17',
    port: 5432,
    environment: { POSTGRES_DB: database, POSTGRES_USER: username, POSTGRES_PASSWORD: password },
    args: ['postgres', ...postgresArgs],
  },
}
